"""A visitor's address, passed on by our own storefront in a way that nobody else can imitate.

The storefront calls the APIs for all its visitors from one address; those who throttle by address
must count the visitor's. X-Forwarded-For anybody can write who reaches us; this needs SECRET_KEY.
"""

import hmac

HEADER = "X-Cinesync-Visitor"


class Vouching:
    """Both ends hold the same secret."""

    def __init__(self, secret_key: str) -> None:
        self._key = hmac.digest(secret_key.encode(), b"cinesync 1: visitors' addresses", "sha256")

    def vouch(self, address: str) -> str:
        """The header's value."""
        return f"{address} {self._mac(address)}"

    def read(self, header: str | None) -> str | None:
        """The address, or None when nobody of ours vouches for it."""
        address, _, mac = (header or "").partition(" ")
        is_ours = hmac.compare_digest(mac.encode(), self._mac(address).encode())
        return address if is_ours else None

    def _mac(self, address: str) -> str:
        return hmac.digest(self._key, address.encode(), "sha256").hex()
