"""Events between services: the outbox writes them, a bus carries them, the inbox applies them once."""
