"""What a PostgreSQL that was killed leaves behind: processes, lock files, its process id.

A postmaster that is killed does not take its children along: one that computes notices hours
later, and until then no new server starts on its data ("pre-existing shared memory block is still
in use"). Lock files name processes by number, which may be anybody's by now, or nobody's when
they were written to a full disk. Whoever calls this owns the data folder, so that all of it is
left over.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

END_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.02


def clear(data: Path, socket: Path, stop: Callable[[], None]) -> None:
    """End every server process that works in `data`, and take its locks away.

    A whole server is asked to `stop` first, which keeps what it has not written yet.
    """
    if first_number(data / "postmaster.pid") in processes_in(data):
        stop()
    _end(data)
    for lock in (data / "postmaster.pid", *socket.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)


def processes_in(folder: Path) -> set[int]:
    """Who works in `folder`, as each process of a server does: our own ones, or all for root."""
    found, resolved = set(), folder.resolve()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            with suppress(OSError):
                if (process / "cwd").readlink() == resolved and _is_postgres(process):
                    found.add(int(process.name))
    return found


def first_number(file: Path) -> int | None:
    """The process id that a lock file names."""
    try:
        return int(file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _is_postgres(process: Path) -> bool:
    return (process / "exe").readlink().name.startswith("postgres")


def _end(folder: Path) -> None:
    """What was committed is in the log, so that the hard way loses nothing."""
    deadline = time.monotonic() + END_SECONDS_MAX
    while (left := processes_in(folder)) and time.monotonic() < deadline:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)
