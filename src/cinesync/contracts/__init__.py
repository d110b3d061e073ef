"""Domain events, one file per emitter: frozen, pure, past tense."""
