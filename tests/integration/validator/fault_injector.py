"""A validator that kills itself with SIGKILL at a chosen boundary between persist and send.

Run as a module with a home. A line `3 viewchange` on stdin lets the validator that runs then end at
the third boundary from the next view-change in its journal on: before or after a write of the
journal, or with its frames sent to one peer and not yet to the others. It says where, and another
one is forked, so that enumerating them all costs one start of Python. Everything it is about to
send is kept in the file `said` first.
"""

import asyncio
import ctypes
import os
import signal
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cinesync.chassis import telemetry
from cinesync.pbft.ports import Parameters
from cinesync.supervisor.postgres.server import PR_SET_PDEATHSIG
from cinesync.validator import main
from cinesync.validator.driver import ValidatorDriver
from cinesync.validator.network import transport
from cinesync.validator.network.transport import SendQueue
from cinesync.validator.storage.journal import Journal

SAID = "said"
BOUNDARIES = ("before write", "after write", "after send")
INTERVAL = 8
PARAMETERS = Parameters(timeout_ticks=16, interval=INTERVAL, window=2 * INTERVAL)
LENGTH = struct.Struct(">I")


class Doom:
    """Counts down to the end; nobody is doomed before it is told so."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.begins_with = b""  # nothing counts before a record has this in it

    def seal(self, order: bytes) -> None:
        count, _, self.begins_with = order.partition(b" ")
        self.left = int(count)

    def writes(self, records: Sequence[bytes]) -> None:
        if any(self.begins_with in record for record in records):
            self.begins_with = b""

    def boundary(self, where: str) -> None:
        if self.left is not None and not self.begins_with:
            self.left -= 1
            if self.left == 0:
                os.write(1, f"struck {where}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


class Telltale:
    """A writer with a boundary behind each write: the bytes are in the kernel then."""

    def __init__(self, writer: asyncio.StreamWriter, doom: Doom) -> None:
        self._writer = writer
        self._doom = doom

    def write(self, frames: bytes) -> None:
        self._writer.write(frames)
        self._doom.boundary("after send")

    async def drain(self) -> None:
        await self._writer.drain()


def sabotage(home: Path) -> Doom:
    doom = Doom()
    write, send, flush = Journal.write, ValidatorDriver._send, SendQueue.flush_to
    said = os.open(home / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def doomed_write(self: Journal, records: Iterable[bytes], *, replace: bool) -> None:
        kept = list(records)
        doom.writes(kept)
        if kept:
            doom.boundary("before write")
        write(self, kept, replace=replace)
        if kept:
            doom.boundary("after write")

    def noted_send(self: ValidatorDriver, to: int | str, frame: bytes) -> None:
        os.write(said, LENGTH.pack(len(frame)) + frame)
        send(self, to, frame)

    async def doomed_flush(self: SendQueue, writer: Any) -> None:
        await flush(self, Telltale(writer, doom))  # type: ignore[arg-type]

    Journal.write = doomed_write  # type: ignore[method-assign]
    ValidatorDriver._send = noted_send  # type: ignore[method-assign]
    SendQueue.flush_to = doomed_flush  # type: ignore[method-assign]
    return doom


def said_by(home: Path) -> Iterator[bytes]:
    """The bodies of all frames that it was ever about to send, across its deaths."""
    data = (home / SAID).read_bytes()
    at, head = 0, len(transport.pack(transport.FrameKind.CONSENSUS, b""))
    while at < len(data):
        (size,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size + size
        yield data[at - size + head : at]


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def live(home: Path) -> None:
    """One life, on asyncio's own loop: it hands bytes to the kernel at once."""
    die_with_parent()
    doom = sabotage(home)

    def hear() -> None:
        order = os.read(0, 64)
        if not order:
            os._exit(0)
        doom.seal(order)

    def ready() -> None:
        asyncio.get_running_loop().add_reader(0, hear)
        os.write(1, f"ready {os.getpid()}\n".encode())

    asyncio.run(main._run(home, ready, PARAMETERS))


if __name__ == "__main__":
    telemetry.configure_logging()
    die_with_parent()
    while True:
        child = os.fork()
        if child == 0:
            live(Path(sys.argv[1]))
            os._exit(0)
        os.waitpid(child, 0)
