"""Growth: the same purchase among 10^2, 10^4 and 10^5 shows and up to 10^7 sold seats."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

from bench import bulk, machine
from bench.figures import purchases
from bench.load.driver import drive
from bench.load.flows import Fetch, Round
from bench.load.generator import Plan
from bench.load.wire import request
from bench.stock import Auditorium
from bench.system import System

ROOM = Auditorium(rows=20, seats_in_row=20)
SOLD_EACH = 100
SEED = 20261123
LIST_SECONDS = 2
LIST_CONNECTIONS = 8
IDLE_SECONDS = 10
# What pages ask movies for, and keep for a while: films on sale, filters, the next show anywhere.
LISTS = {
    "films": "/api/movies/movies?showing=true",
    "filters": "/api/movies/filters",
    "next_show": "/api/movies/shows?limit=1",
}


@dataclass(frozen=True, slots=True)
class Load:
    """How many shows there are, one measurement for each."""

    shows: tuple[int, ...]
    seconds: float


QUICK = Load(shows=(100, 1_000), seconds=2)
FULL = Load(shows=(100, 10_000, 100_000), seconds=12)


async def measure(system: System, load: Load) -> dict[str, Any]:
    """Each level on top of the one before; the demo chain's own shows are taken out first.

    Start-up and memory are those of a start on that many shows.
    """
    programme: bulk.Programme | None = None
    shows: list[str] = []
    figures = {}
    url = system.database
    for count in load.shows:
        with system.closed():
            began = time.perf_counter()
            programme = programme or await bulk.begin(url, ROOM)
            new = count - len(shows)
            shows += await bulk.add_shows(url, programme, len(shows), new, SOLD_EACH)
            await bulk.tidy(url)
            written_seconds = round(time.perf_counter() - began, 1)
        figures[str(count)] = {
            "shows": count,
            "sold_seats": count * SOLD_EACH,
            "written_seconds": written_seconds,
            **await _level(system, load, shows),
        }
    return figures


async def _level(system: System, load: Load, shows: list[str]) -> dict[str, Any]:
    """Idle first, then buyers all over the programme, then lists."""
    memory = machine.memory_mb()
    idle = await _idle_cpu_ms(IDLE_SECONDS)
    chosen = random.Random(SEED).sample(shows, len(shows))
    run = purchases.Load(load.seconds, rate=0, connections=purchases.CONNECTIONS)
    warm_up = await purchases.closed(system, run, chosen, purchases.WARM_UP)
    enough = int(warm_up["answered_per_second"] * load.seconds * purchases.FASTER_WHEN_WARM)
    # Other shows than those that the warm-up looked at, as far as there are others.
    later = chosen[purchases.WARM_UP :] + chosen[: purchases.WARM_UP]
    figures = await purchases.closed(system, run, later, max(enough, purchases.WARM_UP))
    [sizes] = await system.query("booking", "SELECT pg_database_size('cinesync_booking') AS bytes")
    return {
        **figures,
        "start_seconds": system.start_seconds,
        "memory_mb": memory,
        "memory_after_mb": machine.memory_mb(),
        "idle_cpu_ms_per_second": idle,
        "lists": {name: await _listed(system, path) for name, path in LISTS.items()},
        "booking_database_mb": round(sizes["bytes"] / 1_000_000),
    }


async def _listed(system: System, path: str) -> dict[str, Any]:
    """As often as time allows; each answer is made anew."""
    endpoint = system.endpoint
    requests = Round([Fetch(request("GET", path, endpoint.host, None))], 1_000_000)
    plan = Plan(endpoint.host, endpoint.port, requests, LIST_CONNECTIONS, seconds=LIST_SECONDS)
    outcome = await drive(plan)
    done = outcome.count("get", 200)
    return {
        "done": done,
        "latency": outcome.latencies().get("get"),
        "cpu_ms_each": outcome.cpu_ms_each(done),
        "statuses": outcome.statuses(),
    }


async def _idle_cpu_ms(seconds: float) -> dict[str, float]:
    """What the loops of a shop that nobody visits take in a second."""
    before = machine.cpu_seconds()
    await asyncio.sleep(seconds)
    spent = machine.spent(before, machine.cpu_seconds())
    each = {kind: round(cpu * 1000 / seconds, 1) for kind, cpu in spent.items()}
    return {**each, "all": round(sum(ms for kind, ms in each.items() if kind != machine.BENCH), 1)}
