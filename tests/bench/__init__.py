"""The bench's own logic: a wrong instrument makes every figure wrong."""
