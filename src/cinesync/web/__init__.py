"""The web pages: a client of the APIs, without tables or events of its own."""
