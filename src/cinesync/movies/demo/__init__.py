"""The demo chain: theaters, floor plans, films, and two weeks of shows."""
