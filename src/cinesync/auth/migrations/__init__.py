"""The history of the auth database."""
