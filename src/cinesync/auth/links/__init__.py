"""Sign-in links: requested, mailed, used once."""
