"""The history of the payment database."""
