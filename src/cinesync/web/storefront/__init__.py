"""Pages to buy with: films, shows, seat maps, checkout, tickets."""
