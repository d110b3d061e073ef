"""Waits for a condition: tests poll for a state, and never sleep for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

# Far more than a busy machine needs: only a test that fails waits as long.
SECONDS_MAX = 90.0
POLL_SECONDS = 0.02


async def eventually(
    condition: Callable[[], Awaitable[bool]], seconds_max: float = SECONDS_MAX
) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds_max):
        while not await condition():  # noqa: ASYNC110 another process makes it true
            await asyncio.sleep(POLL_SECONDS)


def eventually_sync(condition: Callable[[], bool], seconds_max: float = SECONDS_MAX) -> None:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_SECONDS)
