"""Backups: what is copied, checked, and cut when it is restored."""
