"""The booking database, step by step."""
