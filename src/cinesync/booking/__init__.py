"""Owns seats of shows, holds and bookings (its own database).

Emits seats.held, seats.released, booking.confirmed, booking.cancelled, booking.refused.
Consumes show.scheduled, show.changed, show.cancelled, payment.success, payment.failed,
payment.refunded, ledger.committed.
"""
