"""Pages about oneself: signing in, bookings, personal data."""
