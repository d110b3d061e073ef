"""Request bodies, whole, on the event loop: up to a size and a deadline.

One timer cancels all readers that are overdue: each allows the same time, so the oldest is the
first in the dict. `asyncio.timeout` for each would cost as much as all the rest of the guard.
"""

import asyncio
from typing import Any

from litestar.types import Receive

from cinesync.chassis.http.refusals import BodyBroken, BodyTooLarge, BodyTooSlow, Refused

TICK_SECONDS = 0.5


class BodyReader:
    """Reads the bodies of all requests of one server."""

    def __init__(self, bytes_max: int, seconds_max: float) -> None:
        self.bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._began: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive) -> bytes:
        """The body. Raises Refused."""
        task = asyncio.current_task()
        assert task is not None, "a server runs each request in a task"
        loop = task.get_loop()
        self._began[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(TICK_SECONDS, self._tick, loop)
        try:
            return await self._gather(receive)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise Refused(BodyTooSlow()) from None
        finally:
            self._began.pop(task, None)
            self._overdue.discard(task)

    async def _gather(self, receive: Receive) -> bytes:
        body = b""
        while True:
            message: Any = await receive()
            if message["type"] != "http.request":
                raise Refused(BodyBroken())
            part: bytes = message.get("body", b"")
            body = body + part if body else part
            if len(body) > self.bytes_max:
                raise Refused(BodyTooLarge())
            if not message.get("more_body"):
                return body

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
