"""A validator that kills itself with SIGKILL at a chosen boundary between persist and send.

Run as a module with a home. A line `3 viewchange` on stdin makes the running validator kill itself
at the third boundary from the next view-change in its journal on: before or after a write of the
journal, or when its frames went to one peer and not yet to the others. It prints where, and the
parent forks another one, so that all boundaries cost one start of Python. Before it sends, it
records its frames in the file `sent`.
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

SENT_FILE = "sent"
BOUNDARIES = ("before write", "after write", "after send")
INTERVAL = 8
PARAMETERS = Parameters(timeout_ticks=16, interval=INTERVAL, window=2 * INTERVAL)
LENGTH = struct.Struct(">I")


class KillSwitch:
    """Counts boundaries down and kills the process at zero; it does nothing until armed."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.starts_at = b""  # nothing counts before a record has this in it

    def arm(self, order: bytes) -> None:
        count, _, self.starts_at = order.partition(b" ")
        self.left = int(count)

    def writes(self, records: Sequence[bytes]) -> None:
        if any(self.starts_at in record for record in records):
            self.starts_at = b""

    def boundary(self, where: str) -> None:
        if self.left is not None and not self.starts_at:
            self.left -= 1
            if self.left == 0:
                os.write(1, f"killed {where}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


class CountingWriter:
    """A writer with a boundary behind each write: the bytes are in the kernel then."""

    def __init__(self, writer: asyncio.StreamWriter, kill_switch: KillSwitch) -> None:
        self._writer = writer
        self._kill_switch = kill_switch

    def write(self, frames: bytes) -> None:
        self._writer.write(frames)
        self._kill_switch.boundary("after send")

    async def drain(self) -> None:
        await self._writer.drain()


def inject_faults(home: Path) -> KillSwitch:
    kill_switch = KillSwitch()
    write, send, flush = Journal.write, ValidatorDriver._send, SendQueue.flush_to
    sent_file = os.open(home / SENT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write_with_boundaries(self: Journal, records: Iterable[bytes], *, replace: bool) -> None:
        rows = list(records)
        kill_switch.writes(rows)
        if rows:
            kill_switch.boundary("before write")
        write(self, rows, replace=replace)
        if rows:
            kill_switch.boundary("after write")

    def recorded_send(self: ValidatorDriver, to: int | str, frame: bytes) -> None:
        os.write(sent_file, LENGTH.pack(len(frame)) + frame)
        send(self, to, frame)

    async def flush_with_boundaries(self: SendQueue, writer: Any) -> None:
        await flush(self, CountingWriter(writer, kill_switch))  # type: ignore[arg-type]

    Journal.write = write_with_boundaries  # type: ignore[method-assign]
    ValidatorDriver._send = recorded_send  # type: ignore[method-assign]
    SendQueue.flush_to = flush_with_boundaries  # type: ignore[method-assign]
    return kill_switch


def frames_sent_by(home: Path) -> Iterator[bytes]:
    """The bodies of all frames that it was about to send, across its restarts."""
    data = (home / SENT_FILE).read_bytes()
    at, head = 0, len(transport.pack(transport.FrameKind.CONSENSUS, b""))
    while at < len(data):
        (size,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size + size
        yield data[at - size + head : at]


def exit_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_once(home: Path) -> None:
    """Run one validator on asyncio's own loop, which writes to the kernel at once."""
    exit_with_parent()
    kill_switch = inject_faults(home)

    def read_order() -> None:
        order = os.read(0, 64)
        if not order:
            os._exit(0)
        kill_switch.arm(order)

    def ready() -> None:
        asyncio.get_running_loop().add_reader(0, read_order)
        os.write(1, f"ready {os.getpid()}\n".encode())

    asyncio.run(main._run(home, ready, PARAMETERS))


if __name__ == "__main__":
    telemetry.configure_logging()
    exit_with_parent()
    while True:
        child = os.fork()
        if child == 0:
            run_once(Path(sys.argv[1]))
            os._exit(0)
        os.waitpid(child, 0)
