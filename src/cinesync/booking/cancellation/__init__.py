"""Cancellation and refunds: of seats, of a booking, of a whole show."""
