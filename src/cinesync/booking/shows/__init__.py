"""Booking's copies of shows and layouts, and their cache."""
