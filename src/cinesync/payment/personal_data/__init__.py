"""A customer's personal data: export and erasure."""
