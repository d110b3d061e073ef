"""A customer's bookings: list, detail, statistics, cancellation, place in the ledger."""
