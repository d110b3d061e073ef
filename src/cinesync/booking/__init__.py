"""Owns the seats of shows, holds and bookings, in its own database.

Emits seats.held, seats.released, booking.confirmed, booking.reduced, booking.cancelled,
booking.refused, booking.rescheduled, show.refund.begun.
Consumes show.scheduled, show.changed, show.cancelled, payment.success, payment.failed,
payment.refunded, payment.refund.failed, payment.disputed, ledger.committed, customer.erased.
"""
