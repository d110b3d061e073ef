"""Growth: the same purchase among 10^2, 10^4 and 10^5 shows and up to 10^7 sold seats."""

import random
from dataclasses import dataclass
from typing import Any

from bench import machine
from bench.figures import purchases
from bench.stock import FIRST_START_DAYS, Room, add_shows, sell, tidy
from bench.system import System

ROOM = Room(rows=10, seats_in_row=20)
SOLD_EACH = 100
STEP = 10_000  # shows written in one statement
SEED = 20261123


@dataclass(frozen=True, slots=True)
class Load:
    """How many shows there are, one measurement for each."""

    shows: tuple[int, ...]
    seconds: float


QUICK = Load(shows=(100, 1_000), seconds=2)
FULL = Load(shows=(100, 10_000, 100_000), seconds=8)


async def measure(system: System, load: Load) -> dict[str, Any]:
    """Each level on top of the one before; the demo chain's own shows are taken out first.

    Start-up and memory are those of a start on that many shows.
    """
    shows: list[str] = []
    figures = {}
    for count in load.shows:
        while len(shows) < count:
            new = await add_shows(system, min(STEP, count - len(shows)), ROOM)
            await sell(system, new, ROOM, SOLD_EACH)
            shows += new
        await _clear_others(system)
        await tidy(system)
        system.restart()
        figures[str(count)] = await _level(system, load, shows)
    return figures


async def _level(system: System, load: Load, shows: list[str]) -> dict[str, Any]:
    chosen = random.Random(SEED).sample(shows, len(shows))
    run = purchases.Load(load.seconds, rate=0, connections=purchases.CONNECTIONS)
    memory = machine.memory_mb()
    warm_up = await purchases.closed(system, run, chosen, purchases.WARM_UP)
    enough = int(warm_up["answered_per_second"] * load.seconds * purchases.FASTER_WHEN_WARM)
    figures = await purchases.closed(system, run, chosen, max(enough, purchases.WARM_UP))
    [sizes] = await system.query("booking", "SELECT pg_database_size('cinesync_booking') AS bytes")
    return {
        **figures,
        "shows": len(shows),
        "sold_seats": len(shows) * SOLD_EACH,
        "start_seconds": system.start_seconds,
        "memory_mb": memory,
        "booking_database_mb": round(sizes["bytes"] / 1_000_000),
    }


async def _clear_others(system: System) -> None:
    """The demo chain's shows start before ours."""
    for service in ("booking", "movies"):
        statement = "DELETE FROM shows WHERE starts_at < now() + $1::bigint * interval '1 day'"
        await system.query(service, statement, FIRST_START_DAYS - 1)
