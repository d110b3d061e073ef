"""The client's address of a request: every service limits and logs by it.

It has three sources. The peer address of the connection is always true. A trusted proxy
(`TRUSTED_PROXIES`) appends the hop before it to X-Forwarded-For; everything left of the first
untrusted hop is the client's own claim and is ignored. The storefront calls the APIs from one
address for all its visitors and sends the visitor's address signed (`signed_client_address`).
"""

from collections.abc import Container, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from cinesync.chassis.http.security.signed_client_address import VISITOR_HEADER, AddressSigner
from cinesync.chassis.settings import SettingsError

FORWARDING = frozenset({"forwarded", "x-forwarded-for", "via"})  # what a proxy adds

FORWARDED_HOPS_MAX = 20
FORWARDED_CHARS_MAX = 2_000
IPV6_CUSTOMER_BITS = 64  # a household can choose any address of its /64
ADDRESSES_CACHED_MAX = 4_000

UNKNOWN = "unknown"
IN_SCOPE = "client_address"  # where the guard around every app stores it
_VISITOR_KEY = VISITOR_HEADER.lower().encode()

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated addresses or CIDR blocks. Raises ValueError."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


class ClientAddresses:
    """Finds the client's address of each request to a service."""

    def __init__(self, trusted_proxies: str = "", secret_key: str = "", *, key: str = "") -> None:
        """`trusted_proxies` is the setting TRUSTED_PROXIES. Raises SettingsError."""
        try:
            self._trusted = parse_networks(trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"TRUSTED_PROXIES: {error}") from error
        # With an empty secret anybody could sign: then no signed address is accepted.
        is_known = bool(secret_key or key)
        self._signer = AddressSigner(secret_key, key=key) if is_known else None

    def of(self, scope: Any) -> str:
        """Of a request's ASGI scope: an address, an IPv6 network of one customer, or UNKNOWN."""
        if found := scope.get(IN_SCOPE):
            return str(found)
        visitor, forwarded_for = None, []
        for name, value in scope["headers"]:
            if name == _VISITOR_KEY and visitor is None and self._signer is not None:
                visitor = self._signer.verify(value.decode("latin-1"))
            elif name == b"x-forwarded-for":
                forwarded_for.append(value.decode("latin-1"))
        if visitor is not None:
            return client_address(visitor, "", ())
        peer = scope["client"][0] if scope.get("client") else ""
        # The right end of the list is the one that proxies wrote.
        hops = ",".join(forwarded_for)[-FORWARDED_CHARS_MAX:] if self._trusted else ""
        return client_address(peer, hops, self._trusted)

    def is_proxy(self, address: str) -> bool:
        """Whether it is a trusted proxy."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def store(self, scope: Any, names: Container[bytes]) -> str:
        """As `of`, and stored in the scope for apps. `names` are the names of its headers."""
        if b"x-forwarded-for" in names or _VISITOR_KEY in names:
            address = self.of(scope)
        else:
            address = client_address(scope["client"][0] if scope["client"] else "", "", ())
        scope[IN_SCOPE] = address
        return address


@lru_cache(ADDRESSES_CACHED_MAX)
def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """From the right, the first hop that is not a trusted proxy."""
    hops = [*forwarded_for.split(",")[-FORWARDED_HOPS_MAX:], peer] if forwarded_for else [peer]
    address = peer
    for hop in reversed(hops):
        try:
            parsed = ip_address(hop.strip())
        except ValueError:
            break
        address = str(parsed)
        if not any(parsed in network for network in trusted):
            break
    return _as_one_customer(address)


def _as_one_customer(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed.packed, IPV6_CUSTOMER_BITS), strict=False))


def address_in(scope: Any) -> str:
    """The address that the guard stored."""
    return str(scope.get(IN_SCOPE, UNKNOWN))


def is_local(request: Any) -> bool:
    """Whether the request comes from this machine, and not through a proxy."""
    is_for_others = FORWARDING.intersection(request.headers)
    client = request.client
    return client is not None and not is_for_others and ip_address(client.host).is_loopback
