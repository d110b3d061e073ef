"""The storefront: movies, shows, seat maps, checkout, payment."""
