"""What every service stands on: database, bus, HTTP, tokens. Knows no cinema word."""
