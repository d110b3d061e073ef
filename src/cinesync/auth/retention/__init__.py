"""Deletes rows that have expired, and guests who bought nothing."""
