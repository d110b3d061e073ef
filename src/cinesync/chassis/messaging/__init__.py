"""Events between services: an outbox writes them, a bus carries them, an inbox applies them."""
