"""CineSync sells cinema seats: no double sale, no lost money, a receipt anyone can verify."""
