"""Starts, watches and stops the processes of a shop on one machine."""
