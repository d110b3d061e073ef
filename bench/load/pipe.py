"""What a process of the bench and the one that began it say: a plan, `READY`, a word, a report."""

import asyncio
import pickle
import sys
from typing import Any

READY = b"ready\n"


def plan() -> Any:
    """What is to be done, from stdin."""
    return pickle.load(sys.stdin.buffer)


async def wait_for_the_word() -> None:
    """Say that all is ready; return when the other says anything."""
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.read, 1)


def send_report(report: object) -> None:
    """All of it, on stdout: with PYTHONUNBUFFERED that is a raw file, which may take a part only,
    and pickle does not ask how much it took."""
    with open(sys.stdout.fileno(), "wb", closefd=False) as whole:
        pickle.dump(report, whole)
