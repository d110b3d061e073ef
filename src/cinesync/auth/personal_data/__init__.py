"""A customer's own data: shown to them, and erased on request."""
