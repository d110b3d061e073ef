"""Alembic's environment and template, the same for every service."""
