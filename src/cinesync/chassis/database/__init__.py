"""Databases: transactions that are retried, statements, migrations and leases."""
