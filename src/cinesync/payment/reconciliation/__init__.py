"""Compares payments with what their providers say: in the background, and for the audit."""
