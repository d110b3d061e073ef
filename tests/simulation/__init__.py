"""Consensus under a seeded network, disk and clock."""
