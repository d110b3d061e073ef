"""The movies room."""
