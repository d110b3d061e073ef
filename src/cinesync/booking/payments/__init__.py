"""What payment events do to bookings: confirm, refuse, count refunds, react to disputes."""
