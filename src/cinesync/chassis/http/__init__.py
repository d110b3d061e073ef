"""HTTP: the application of a service, what guards it, and calls to other services."""
