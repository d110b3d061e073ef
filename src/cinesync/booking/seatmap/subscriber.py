"""One open stream of a seat map."""

import asyncio
from typing import Final

WAITING_MAX: Final = 100


class Subscriber:
    """A bounded queue of messages for one client. A client that does not keep up is disconnected;
    it reconnects with the last version it got."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._ended = False
        self._awake = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._waiting

    @property
    def is_full(self) -> bool:
        """Whether the client does not keep up."""
        return len(self._waiting) >= WAITING_MAX

    def send(self, message: bytes) -> None:
        """Queue a message."""
        self._waiting.append(message)
        self._awake.set()

    def end(self, last_message: bytes = b"") -> None:
        """Drop what waits, send `last_message` if there is one, and end the stream."""
        self._waiting = [last_message] if last_message else []
        self._ended = True
        self._awake.set()

    async def next(self) -> bytes | None:
        """All that waits, joined; None at the end."""
        await self._awake.wait()
        if self._waiting:
            message = b"".join(self._waiting)
            self._waiting.clear()
            if not self._ended:
                self._awake.clear()
            return message
        return None
