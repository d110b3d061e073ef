"""Sessions that ended while their access tokens are still valid."""
