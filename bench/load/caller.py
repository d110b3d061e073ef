"""One request at a time, awaited: for probes among the load, not for the load itself."""

import asyncio
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from bench.load.flows import Endpoint
from bench.load.wire import Wire


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Decoded."""
        return msgspec.json.decode(self.body)


class Caller(Wire):
    """A keep-alive connection. Raises ConnectionResetError when it ends instead of answering."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def connect(cls, endpoint: Endpoint) -> Self:
        """A new one."""
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(cls, endpoint.host, endpoint.port)
        return caller

    async def call(self, request: bytes) -> Answer:
        """Send it, and wait."""
        self._answer = asyncio.get_running_loop().create_future()
        self.send(request)
        return await self._answer

    def answered(self, status: int, body: bytes) -> None:
        """Of Wire."""
        assert self._answer is not None, "there was a call"
        if status:
            self._answer.set_result(Answer(status, body))
        else:
            self._answer.set_exception(ConnectionResetError("hung up"))
