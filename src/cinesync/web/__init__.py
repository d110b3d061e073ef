"""The storefront: pages made of what the four APIs answer. Owns no tables, takes no events."""
