"""What a validator has on disk: its journal, its copy of the chain, and the map of bookings."""
