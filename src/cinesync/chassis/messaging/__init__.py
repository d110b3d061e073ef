"""Events between services: the outbox, the buses and the inbox."""
