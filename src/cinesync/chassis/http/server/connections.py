"""Shuts down idle connections of an address that has too many, when connections run short.

The guard counts requests. A connection without one never reaches it, and Granian accepts up to its
limit from any address. So while half of all connections are in use, this counts those of each
address once a second, from the open files of the process, and shuts down surplus ones without a
request in progress. It duplicates a file descriptor before it looks at it: the number may soon
belong to another connection, the duplicate cannot.
"""

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cinesync.chassis import telemetry
from cinesync.chassis.http.security.client_address import client_address
from cinesync.chassis.http.server.guard import Guard

log = telemetry.get_logger(__name__)

OPEN_FILES = Path("/proc/self/fd")
LOOK_SECONDS = 1.0
SHORT_SHARE = 0.5


class Connections:
    """The connections of the server on `port`."""

    def __init__(self, port: int, connections_max: int, per_address_max: int, guard: Guard) -> None:
        self._port = port
        self._short = int(connections_max * SHORT_SHARE)
        self._per_address_max = per_address_max
        self._guard = guard

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if len(os.listdir(OPEN_FILES)) > self._short:  # noqa: PTH208 numbers, not paths
                    await asyncio.to_thread(self.shut_surplus)
            except Exception as error:  # noqa: BLE001 the next round tries again
                log.warning("connections.not_counted", reason=repr(error))

    def shut_surplus(self) -> int:
        """Shut down the surplus; how many."""
        idle: dict[str, list[int]] = defaultdict(list)
        counts: dict[str, int] = defaultdict(int)
        for file, peer in self._connected():
            address = client_address(peer[0], "", ())
            counts[address] += 1
            if not self._guard.is_busy(peer) and not self._guard.is_proxy(address):
                idle[address].append(file)
        shut = 0
        for address, files in idle.items():
            surplus = max(counts[address] - self._per_address_max, 0)
            ended = sum(self._shut(file, address) for file in files[:surplus])
            if ended:
                log.warning("connections.shut", client=address, count=ended)
            shut += ended
        return shut

    def _connected(self) -> Iterator[tuple[int, tuple[str, int]]]:
        for name in os.listdir(OPEN_FILES):  # noqa: PTH208 numbers, not paths
            with suppress(OSError), _duplicate(int(name)) as one:
                if one.family in {socket.AF_INET, socket.AF_INET6}:
                    peer = one.getpeername()
                    if one.getsockname()[1] == self._port:
                        yield int(name), (peer[0], peer[1])

    def _shut(self, file: int, address: str) -> bool:
        with suppress(OSError), _duplicate(file) as one:
            is_still = client_address(one.getpeername()[0], "", ()) == address
            if is_still and one.getsockname()[1] == self._port:
                one.shutdown(socket.SHUT_RDWR)
                return True
        return False


def _duplicate(file: int) -> socket.socket:
    """Raises OSError for a closed file, or one that is no socket."""
    copy = os.dup(file)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
