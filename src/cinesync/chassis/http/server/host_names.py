"""The host names of a process: a request with another Host is refused (RFC 9112 section 3.2).

An unchecked Host would end up in links, redirects and caches, and with DNS rebinding a foreign page
could read from a shop on this machine.
"""

import fcntl
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", re.ASCII)
HOST_CHARS_MAX = 260
VERIFIED_MAX = 1_000
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 compared with HOST, not bound
SIOCGIFADDR = 0x8915
IPV6_INTERFACES = Path("/proc/net/if_inet6")


class HostNames:
    """Names and addresses, without ports: a port may be forwarded from another one."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(_canonical(name) for name in names if name)
        self._verified: set[bytes] = set()

    def accepts(self, host: bytes) -> bool | None:
        """Whether `host` is one of the names; None when it is no host name at all."""
        if host in self._verified:
            return True
        name = host_name(host)
        if name is None:
            return None
        if name not in self._names:
            return False
        if len(self._verified) < VERIFIED_MAX:
            self._verified.add(host)
        return True


def host_name(host: bytes) -> str | None:
    """The name in a Host header, in its canonical form; None for anything else."""
    if len(host) > HOST_CHARS_MAX:
        return None
    matched = HOST.fullmatch(host.decode("latin-1").lower())
    return _canonical(matched[1]) if matched else None


def _canonical(name: str) -> str:
    """`[::1]` and `0:0::1` are one address; a final dot is the root of all names."""
    bare = name.strip().lower().strip("[]")
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare.removesuffix(".")


def known_names(host: str, urls: Iterable[str], more: str) -> HostNames:
    """Those of a process that listens on `host`: its machine, the hosts of `urls`, and `more`, a
    comma-separated list.
    """
    addresses = interface_addresses() if host in EVERY_ADDRESS else [host]
    named = [urlsplit(url).hostname or "" for url in urls if url]
    return HostNames([*LOOPBACK, socket.gethostname(), *addresses, *named, *more.split(",")])


def interface_addresses() -> Iterator[str]:
    """The addresses of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe, SIOCGIFADDR, request)
            except OSError:  # it has no address
                continue
            yield socket.inet_ntoa(answer[20:24])
    if IPV6_INTERFACES.exists():
        for line in IPV6_INTERFACES.read_text().splitlines():
            yield str(ip_address(bytes.fromhex(line.split()[0])))
