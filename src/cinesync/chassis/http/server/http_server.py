"""The HTTP server of a process: Granian in our event loop (ADR 3), with its limits.

HTTP/1.1 only. The gateway speaks HTTP/2, and limits the size of decompressed headers; without TLS
only an attacker would use it. A connection ends when the head of a request does not arrive in time,
so idle ones end too. The kernel ends that of a client that reads nothing for a minute.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from granian import _granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from litestar.types import ASGIApp

from cinesync.chassis import open_files
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.server.connections import Connections
from cinesync.chassis.http.server.guard import (
    BODY_SECONDS_MAX,
    HEAD_BYTES_MAX,
    Guard,
    RequestLimits,
)
from cinesync.chassis.http.server.host_names import known_names

SocketHolder: Any = _granian.SocketHolder  # its stub knows no constructor
IS_UNIX = False
BACKLOG = 2_048
HEAD_SECONDS_MAX = 20  # our own clients close idle connections sooner: after 5 to 15 s
UNREAD_SECONDS_MAX = 60
IN_PROGRESS_SHARE = 0.9  # of all connections; the others get 503
PER_ADDRESS_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where a process listens, under which names, and its limits."""

    host: Annotated[str, "address to listen on"] = "127.0.0.1"
    port: Annotated[int, "port to listen on"] = 8000
    shop_url: Annotated[str, "where browsers find the shop; https makes cookies Secure"] = ""
    hosts: Annotated[
        str, "further names that a request's Host may say, by commas: of proxies and peers"
    ] = ""
    connections_max: Annotated[
        int, "open connections at a time; 0: as many as open files allow, at most 16,384"
    ] = 0
    requests_per_address_max: Annotated[
        int, "requests and streams in progress at a time for one client address"
    ] = 1_000
    body_seconds_max: Annotated[
        float, "a request's body is whole after so many seconds, or refused (408)"
    ] = BODY_SECONDS_MAX


class HttpServer(Server):
    """Granian on a socket that is bound here: Granian's own shares its port (SO_REUSEPORT)."""

    def __init__(self, guard: Guard, host: str, port: int, connections_max: int) -> None:
        """Raises OSError when the port is taken."""
        self._socket = listen(host, port)
        per_address_max = guard.limits.per_address_max
        self._connections = Connections(port, connections_max, per_address_max, guard)
        super().__init__(
            guard,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=HEAD_SECONDS_MAX * 1000, max_buffer_size=HEAD_BYTES_MAX
            ),
            backlog=BACKLOG,
            # Granian accepts no more at a time, and by default no more than its backlog.
            backpressure=connections_max,
            websockets=False,
            log_level=LogLevels.error,  # its one warning is that embedding is new
        )

    def _init_shared_socket(self) -> None:
        """Granian owns the file from here on, and closes it when it stops."""
        self._shd: Any = SocketHolder(self._socket.detach(), IS_UNIX, BACKLOG)

    async def serve(self, *arguments: Any, **options: Any) -> None:
        """Until `stop`."""
        loops = Loops()
        loops.start(Loop("http.connections", self._connections.run, None))
        try:
            await super().serve(*arguments, **options)
        finally:
            await loops.close()

    def stop(self) -> None:
        """Accept no more requests; `serve` returns when those in progress are answered."""
        super().stop()  # type: ignore[no-untyped-call]  # Granian types its constructor only


def guarded(
    app: ASGIApp,
    settings: HttpSettings,
    addresses: ClientAddresses,
    *,
    urls: Iterable[str] = (),
    has_pages: bool = False,
) -> Guard:
    """`app` behind the guard. `urls` are further ones that this process is reached by.

    Raises SettingsError for more connections than open files allow.
    """
    connections = open_files.connections_max(settings.connections_max)
    limits = RequestLimits(
        in_progress_max=int(connections * IN_PROGRESS_SHARE),
        per_address_max=min(
            settings.requests_per_address_max, int(connections * PER_ADDRESS_SHARE)
        ),
        body_seconds_max=settings.body_seconds_max,
    )
    hosts = known_names(settings.host, [settings.shop_url, *urls], settings.hosts)
    return Guard(app, limits, hosts, addresses, has_pages=has_pages)


def http_server(guard: Guard, settings: HttpSettings) -> HttpServer:
    """Raises OSError when the port is taken."""
    connections = open_files.connections_max(settings.connections_max)
    return HttpServer(guard, settings.host, settings.port, connections)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket of our own. Raises OSError."""
    is_six = ":" in host
    listening = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if is_six else socket.AF_INET,
        backlog=BACKLOG,
        dualstack_ipv6=host == "::",
    )
    listening.setblocking(False)  # noqa: FBT003 the library's signature
    # Connections inherit it (tcp(7)): unacknowledged data, and a window that stays shut.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS_MAX * 1000)
    return listening
