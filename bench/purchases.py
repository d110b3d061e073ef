"""Holds and complete purchases of a whole embedded shop, through HTTP, durable."""

import asyncio
import itertools
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own keys

from bench.client import Connection
from bench.machine import cpu_seconds
from cinesync.up import Stack

SHOWS = 60
CLIENTS = 32
CONFIRM_SECONDS_MAX = 60.0
CONFIRM_PAUSE_SECONDS = 0.05


@dataclass
class Figures:
    """Of one closed-loop run; times in milliseconds."""

    done: int = 0
    refused: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    paid: deque[tuple[str, str]] = field(default_factory=deque)

    def summary(self, seconds: float, cpu: float) -> dict[str, float]:
        """Rates, percentiles and CPU, rounded for people."""
        cuts = statistics.quantiles(self.latencies_ms, n=100)
        return {
            "done": self.done,
            "refused": self.refused,
            "per_second": round(self.done / seconds, 1),
            "p50_ms": round(cuts[49], 2),
            "p99_ms": round(cuts[98], 2),
            "cpu_ms_each": round(cpu / max(self.done, 1) * 1000, 3),
        }


class Load:
    """A shop under a number of clients, each on a connection of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        children = (stack.shop, stack.bank, *stack.validators)
        self._roots = [*(child.pid for child in children), stack.postgres.pid or 0]

    def connection(self) -> Connection:
        """A new one."""
        return Connection(self._stack.address.host, self._stack.address.port)

    async def shows(self) -> list[str]:
        """Ids of shows far enough ahead to be sold throughout."""
        door = self.connection()
        found: list[str] = []
        path = "/api/movies/shows?limit=100"
        while len(found) < SHOWS:
            page = (await door.call("GET", path, "")).body
            found += [show["show_id"] for show in page["items"]]
            path = f"/api/movies/shows?limit=100&after={page['next']}"
        door.close()
        return found[-SHOWS:]

    async def guests(self, count: int) -> list[str]:
        """Tokens, each good for one purchase."""
        door = self.connection()
        tokens = []
        for _ in range(count):
            answer = await door.call(
                "POST", "/api/auth/guest", "", {"email": f"{uuid4()}@example.org"}
            )
            tokens.append(answer.body["access_token"])
        door.close()
        return tokens

    async def run(
        self,
        tokens: Sequence[str],
        shows: Sequence[str],
        work: Callable[[Connection, str, str, Figures], Awaitable[None]],
    ) -> dict[str, float]:
        """Each token does `work` once; CLIENTS at a time."""
        figures = Figures()
        jobs: Iterator[tuple[str, str]] = iter(zip(tokens, itertools.cycle(shows), strict=False))
        cpu, started = cpu_seconds(self._roots), time.perf_counter()

        async def client() -> None:
            door = self.connection()
            for token, show_id in jobs:
                began = time.perf_counter()
                await work(door, token, show_id, figures)
                figures.latencies_ms.append((time.perf_counter() - began) * 1000)
            door.close()

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await self._confirmed(figures)
        seconds = time.perf_counter() - started
        return figures.summary(seconds, cpu_seconds(self._roots) - cpu)

    async def _confirmed(self, figures: Figures) -> None:
        """Count what was paid as done when it is confirmed; in the order it was paid in."""
        door = self.connection()
        deadline = time.perf_counter() + CONFIRM_SECONDS_MAX
        while figures.paid and time.perf_counter() < deadline:
            token, booking_id = figures.paid[0]
            answer = await door.call("GET", f"/api/booking/bookings/{booking_id}", token)
            if answer.status == 200 and answer.body["status"] == "confirmed":
                figures.paid.popleft()
                figures.done += 1
            else:
                await asyncio.sleep(CONFIRM_PAUSE_SECONDS)
        figures.refused += len(figures.paid)
        door.close()


async def hold(door: Connection, token: str, show_id: str, figures: Figures) -> Any:
    """One best seat."""
    answer = await door.call("POST", "/api/booking/holds", token, {"show_id": show_id, "best": 1})
    if answer.status != 201:
        figures.refused += 1
        return None
    figures.done += 1
    return answer.body


async def purchase(door: Connection, token: str, show_id: str, figures: Figures) -> None:
    """Hold and pay; the confirmation comes by itself."""
    held = await hold(door, token, show_id, figures)
    if held is None:
        return
    figures.done -= 1
    body = {"hold_id": held["hold_id"], "provider": "sandbox", "token": "tok_approve"}
    await door.call("POST", "/api/payment/payments", token, body, Idempotency_Key=str(uuid4()))
    figures.paid.append((token, held["hold_id"]))
