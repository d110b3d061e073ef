"""What show events do to shows, holds and bookings; notices of new start times."""
