"""Imports films from lists: reads records, cleans them, and writes what is new or changed."""
