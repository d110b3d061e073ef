"""Registering, signing in and refreshing: hashes between transactions."""
