"""Removes what a killed PostgreSQL leaves behind: processes, lock files, its process id.

The children of a killed postmaster live on: one that computes notices hours later, and until then
no new server starts on its data ("pre-existing shared memory block is still in use"). Lock files
name a process id that another process may have by now; after a full disk they are empty. The caller
holds the lock of the data folder, so everything found there is a leftover.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

END_SECONDS_MAX = 10.0
POLL_SECONDS = 0.02


def clear(data: Path, socket: Path, stop: Callable[[], None]) -> None:
    """End every server process in `data`, and remove its lock files.

    A complete server is shut down with `stop` first.
    """
    if first_number(data / "postmaster.pid") in processes_in(data):
        stop()
    _end(data)
    for lock in (data / "postmaster.pid", *socket.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)


def processes_in(folder: Path) -> set[int]:
    """The visible PostgreSQL processes whose working directory is `folder`."""
    found, resolved = set(), folder.resolve()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            with suppress(OSError):
                if (process / "cwd").readlink() == resolved and _is_postgres(process):
                    found.add(int(process.name))
    return found


def first_number(file: Path) -> int | None:
    """The process id in a lock file."""
    try:
        return int(file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _is_postgres(process: Path) -> bool:
    return (process / "exe").readlink().name.startswith("postgres")


def _end(folder: Path) -> None:
    """SIGKILL loses nothing: what was committed is in the log."""
    deadline = time.monotonic() + END_SECONDS_MAX
    while (running := processes_in(folder)) and time.monotonic() < deadline:
        for process in running:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
