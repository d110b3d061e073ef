"""The booking room."""
