"""Digests of client addresses and e-mails, by which the limits of held seats count."""

import hmac
from functools import lru_cache
from typing import Any
from uuid import UUID

from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.ids import id_of

KEY_BYTES = 16
KEYS_CACHED_MAX = 4_000
STAFF_ROLES = frozenset({"staff", "manager"})


class ClientDigests:
    """Digests client addresses with a key, so that no address is stored."""

    def __init__(self, addresses: ClientAddresses, secret_key: str) -> None:
        self._addresses = addresses
        self._key = hmac.digest(secret_key.encode(), b"cinesync booking 1: addresses", "sha256")
        self._digest = lru_cache(KEYS_CACHED_MAX)(self._make_digest)

    def address_key(self, scope: Any) -> UUID:
        """The digest of the client's address, from a request's ASGI scope."""
        return self._digest(self._addresses.of(scope))

    def _make_digest(self, address: str) -> UUID:
        return id_of(hmac.digest(self._key, address.encode(), "sha256")[:KEY_BYTES])


def email_key(caller: Caller) -> UUID:
    """The token's e-mail digest; without one, the customer alone."""
    return caller.email_key or caller.customer_id


def is_staff(caller: Caller) -> bool:
    """Whether they sell at a box office, where many customers share one address."""
    return caller.role in STAFF_ROLES
