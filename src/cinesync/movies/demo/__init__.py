"""The demo cinema: theaters, floor plans, films, and two weeks of shows."""
