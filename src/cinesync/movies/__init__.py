"""Films, theaters, auditoriums, shows and prices.

Owns events (films), theaters, auditoriums, seats, shows, price_cards. Emits show.scheduled,
show.changed, show.cancelled. Consumes booking.confirmed, booking.reduced, booking.cancelled,
show.refund.begun.
"""
