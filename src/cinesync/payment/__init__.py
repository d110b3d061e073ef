"""The payment room."""
