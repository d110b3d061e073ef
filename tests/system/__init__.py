"""Whole flows over real processes, killed while they work."""
