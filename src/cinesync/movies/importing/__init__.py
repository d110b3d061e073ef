"""Imports films from files: reads records, cleans them, and writes new and changed films."""
