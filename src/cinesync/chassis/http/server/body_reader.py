"""Reads whole request bodies on the event loop, up to a size and a deadline.

One timer cancels all readers that are overdue. All have the same time, so the oldest is the first
in the dict. `asyncio.timeout` for each would take as long as the rest of the guard.
"""

import asyncio
from typing import Any

from litestar.types import Receive

from cinesync.chassis.http.server.refusals import (
    BodyBroken,
    BodyTooLarge,
    BodyTooSlow,
    RequestRefused,
)

TICK_SECONDS = 0.5


class BodyReader:
    """Reads the bodies of all requests of one server."""

    def __init__(self, bytes_max: int, seconds_max: float) -> None:
        self.bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._began: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive, length: int | None = None) -> bytes:
        """The body; complete with `length` bytes, when that is known. Raises RequestRefused.

        Waiting for the server's message that it has ended would take another turn of the loop.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a server runs each request in a task"
        self._began[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(TICK_SECONDS, self._tick, loop)
        body: bytes = b""
        try:
            while True:
                message: Any = await receive()
                if message["type"] != "http.request":
                    raise RequestRefused(BodyBroken())
                body += message.get("body", b"")
                if len(body) > self.bytes_max:
                    raise RequestRefused(BodyTooLarge())
                if len(body) == length or not message.get("more_body"):
                    return body
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise RequestRefused(BodyTooSlow()) from None
        finally:
            self._began.pop(task, None)
            self._overdue.discard(task)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() - self._seconds_max
        while self._began:
            task, began = next(iter(self._began.items()))
            if began > due:
                break
            del self._began[task]
            self._overdue.add(task)
            task.cancel()
        self._timer = loop.call_later(TICK_SECONDS, self._tick, loop) if self._began else None
