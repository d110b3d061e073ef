"""Passwords, secrets, signing keys and one-time codes."""
