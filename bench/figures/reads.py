"""Reads: seat maps cold, cached and unchanged; pages."""

import asyncio
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.load.driver import drive
from bench.load.flows import Fetch, Round
from bench.load.generator import Plan
from bench.load.wire import request
from bench.system import System

CONNECTIONS = 32
PAGE_CONNECTIONS = 8
CACHED_SHOWS = 20


@dataclass(frozen=True, slots=True)
class Load:
    """`cold` seat maps are read once each; the others as often as time allows."""

    seconds: float
    cold: int


QUICK = Load(seconds=1, cold=100)
FULL = Load(seconds=8, cold=400)


async def seat_maps(system: System, load: Load) -> dict[str, Any]:
    """Of shows that nobody looked at, of popular ones, and of those known already."""
    shows = await system.shows()
    paths = [f"/api/booking/shows/{show_id}/seats" for show_id in shows]
    popular = paths[:CACHED_SHOWS]
    cold = await _most(system, paths[-load.cold :], count=load.cold, connections=8)
    cached = await _most(system, popular, seconds=load.seconds)
    tags = [await asyncio.to_thread(_etag, system, path) for path in popular]
    unchanged = await _most(system, popular, tags, seconds=load.seconds)
    return {"cold": cold, "cached": cached, "unchanged": unchanged}


async def pages(system: System, load: Load) -> dict[str, Any]:
    """Home, a movie, a seat map: what a buyer sees."""
    [row] = await system.query(
        "movies",
        "SELECT movie_id, show_id FROM shows WHERE status = 'scheduled'"
        " AND starts_at > now() + interval '1 day' ORDER BY starts_at, show_id LIMIT 1",
    )
    paths = {
        "home": "/",
        "movie": f"/movies/{row['movie_id']}",
        "seats": f"/shows/{row['show_id']}",
    }
    return {
        name: await _most(system, [path], seconds=load.seconds, connections=PAGE_CONNECTIONS)
        for name, path in paths.items()
    }


async def _most(
    system: System,
    paths: Sequence[str],
    tags: Sequence[str] = (),
    *,
    seconds: float = 600,
    count: int = 1_000_000,
    connections: int = CONNECTIONS,
) -> dict[str, Any]:
    door = system.door
    known = [{"If_None_Match": tag} for tag in tags] or [{} for _ in paths]
    asked = [
        Fetch(request("GET", path, door.host, None, **headers))
        for path, headers in zip(paths, known, strict=True)
    ]
    plan = Plan(door.host, door.port, Round(asked, count), connections, seconds=seconds)
    outcome = await drive(plan)
    done = outcome.count("get", 304 if tags else 200)
    return {
        "done": done,
        "trouble": outcome.report.began - done,
        "per_second": round(done / outcome.report.seconds, 1),
        "latency": outcome.latencies().get("get"),
        "cpu_ms_each": outcome.cpu_ms_each(done),
        "statuses": outcome.statuses(),
    }


def _etag(system: System, path: str) -> str:
    door = system.door
    with urllib.request.urlopen(f"http://{door.host}:{door.port}{path}") as answer:
        return str(answer.headers["ETag"])
