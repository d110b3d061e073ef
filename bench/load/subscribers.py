"""The subscribers' process: many open event streams of one show, and when each received what."""

import asyncio
import gc
import resource
import time
from array import array
from collections import defaultdict
from dataclasses import dataclass
from typing import cast

import uvloop

from bench.load import pipe

CONNECTED_AT_ONCE = 200
OPEN_SECONDS_MAX = 15.0
ID = b"\nid: "
SEATS = b"event: seats\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """`count` streams of a path."""

    host: str
    port: int
    path: str
    count: int


class Subscriber(asyncio.Protocol):
    """One stream. Notes when each version arrives."""

    def __init__(self, received: "defaultdict[int, array[float]]", request: bytes) -> None:
        self._received = received
        self._request = request
        self._rest = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        cast("asyncio.Transport", transport).write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's name
        """Of asyncio."""
        self.is_lost = True
        if not self.opened.done():
            self.opened.set_exception(ConnectionResetError("no stream"))

    def data_received(self, data: bytes) -> None:
        """Of asyncio. The first event is the state of the seats: the stream is open then."""
        at = time.perf_counter()
        if not self.opened.done():
            self._rest += data
            if b"event: " in self._rest:
                self.opened.set_result(None)
                self._rest = b""
            return
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if SEATS in event:
                start = event.index(ID) + len(ID)
                self._received[int(event[start : event.index(b"\n", start)])].append(at)


async def listen(plan: Plan) -> tuple[dict[int, "array[float]"], int, int]:
    """Until its stdin ends: times by version, how many streams opened, and how many were lost."""
    received: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
    lines = [f"GET {plan.path} HTTP/1.1", f"Host: {plan.host}", "Accept: text/event-stream"]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n"
    subscribers: list[Subscriber] = []
    for first in range(0, plan.count, CONNECTED_AT_ONCE):
        number = min(CONNECTED_AT_ONCE, plan.count - first)
        opening = [_open(plan, Subscriber(received, request)) for _ in range(number)]
        opened = await asyncio.gather(*opening, return_exceptions=True)
        subscribers += [subscriber for subscriber in opened if isinstance(subscriber, Subscriber)]
        if len(subscribers) < first + number:
            break  # no more are let in
    gc.freeze()
    gc.disable()
    await pipe.wait_for_the_word()
    lost = sum(subscriber.is_lost for subscriber in subscribers)
    return dict(received), len(subscribers), lost


async def _open(plan: Plan, subscriber: Subscriber) -> Subscriber:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_SECONDS_MAX):
        await loop.create_connection(lambda: subscriber, plan.host, plan.port)
        await subscriber.opened
    return subscriber


def main() -> None:
    """The whole process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pipe.send_report(uvloop.run(listen(pipe.plan())))
