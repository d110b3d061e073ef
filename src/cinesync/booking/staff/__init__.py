"""What staff do with bookings: look them up, refund them, refund a show."""
