"""Waits for a condition: tests poll for a state, and never sleep for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

# Far more than a busy machine needs: only a test that fails waits as long.
SECONDS_MAX = 90.0
POLL_SECONDS = 0.02

T = TypeVar("T")


async def eventually(
    condition: Callable[[], Awaitable[bool]], seconds_max: float = SECONDS_MAX
) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds_max):
        while not await condition():  # noqa: ASYNC110 another process makes it true
            await asyncio.sleep(POLL_SECONDS)


def wait_for(
    check: Callable[[], T | None],
    what: str,
    seconds_max: float = SECONDS_MAX,
    poll_seconds: float = POLL_SECONDS,
) -> T:
    """The first truthy result of `check`; for tests without an event loop.

    Raises AssertionError with `what` was waited for.
    """
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        if result := check():
            return result
        time.sleep(poll_seconds)
    raise AssertionError(f"never happened: {what}")
