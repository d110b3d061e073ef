"""The bank room."""
