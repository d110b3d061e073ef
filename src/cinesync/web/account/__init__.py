"""The account pages: sign-in, profile, bookings, personal data."""
