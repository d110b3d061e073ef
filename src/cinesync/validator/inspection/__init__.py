"""Checks of the validators' files from outside: every byte, or every entry."""
