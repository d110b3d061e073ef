"""Revisions of the movies database."""
