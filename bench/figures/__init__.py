"""One file per claim: each takes a running system and gives figures back."""
