"""Where a request comes from, past our own proxies. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

FORWARDED_HOPS_MAX = 20
IPV6_CUSTOMER_BITS = 64  # one household has at least a /64 to choose addresses from

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated addresses or CIDR blocks. Raises ValueError."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Who is really there: from the right, the first hop that is no proxy of ours.

    What stands left of it is the client's own claim and is never read.
    """
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
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed.packed, IPV6_CUSTOMER_BITS), strict=False))
