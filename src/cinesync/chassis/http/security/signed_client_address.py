"""A client's address, signed: the storefront tells the APIs for which visitor it calls them.

The services limit by client address and see the storefront's for all visitors. The storefront
sends the visitor's address in a header, with an HMAC under a key derived from SECRET_KEY. A service
without SECRET_KEY has that derived key alone (`VISITOR_KEY`).
"""

import hmac

VISITOR_HEADER = "X-Cinesync-Visitor"


def derive_key(secret_key: str) -> str:
    """The key that signs addresses; the secret cannot be computed from it."""
    return hmac.digest(secret_key.encode(), b"cinesync 1: visitors' addresses", "sha256").hex()


class AddressSigner:
    """Signs client addresses in the storefront, and verifies them in the services."""

    def __init__(self, secret_key: str = "", *, key: str = "") -> None:
        """Takes the secret, or the key that is derived from it."""
        self._key = (key or derive_key(secret_key)).encode()

    def sign(self, address: str) -> str:
        """The value of the header VISITOR_HEADER."""
        return f"{address} {self._mac(address)}"

    def verify(self, header: str | None) -> str | None:
        """The signed address; None for a missing or wrong signature."""
        address, _, mac = (header or "").partition(" ")
        is_ours = hmac.compare_digest(mac.encode(), self._mac(address).encode())
        return address if is_ours else None

    def _mac(self, address: str) -> str:
        return hmac.digest(self._key, address.encode(), "sha256").hex()
