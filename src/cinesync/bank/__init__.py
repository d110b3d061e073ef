"""A fake bank for the sandbox provider: a process of its own with durable books and faults."""
