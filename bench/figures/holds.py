"""Holds: the most that are answered, and how fast at a steady rate; spread, and on one show."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from bench.load import arrivals, flows
from bench.load.driver import Outcome, drive
from bench.load.generator import Plan
from bench.system import System

CONNECTIONS = 64
OPEN_CONNECTIONS = 512
SEED = 20261121
WARM_UP = 1_000
FASTER_WHEN_WARM = 3


@dataclass(frozen=True, slots=True)
class Load:
    """How much; `rate` is that of the open loop, a second."""

    seconds: float
    rate: float
    connections: int = CONNECTIONS


QUICK = Load(seconds=4, rate=300)
FULL = Load(seconds=10, rate=2_000)


async def spread(system: System, load: Load) -> dict[str, Any]:
    """Over all shows with room."""
    return await _measure(system, load, await system.shows(seats_min=30))


async def one_show(system: System, load: Load) -> dict[str, Any]:
    """All on one show: most attempts find it sold out, as in a real rush."""
    shows = await system.shows(seats_min=200)
    return {
        "closed": await _closed(system, load, shows[:1], warm_up_on=shows[1:2]),
        "open": await _open(system, load, shows[2:3]),
    }


async def _measure(system: System, load: Load, shows: list[str]) -> dict[str, Any]:
    return {
        "closed": await _closed(system, load, shows, warm_up_on=shows),
        "open": await _open(system, load, shows),
    }


async def _closed(
    system: System, load: Load, shows: list[str], *, warm_up_on: list[str]
) -> dict[str, Any]:
    warm_up = await _most(system, load, warm_up_on, WARM_UP)
    enough = int(warm_up["per_second"] * load.seconds * FASTER_WHEN_WARM)
    return await _most(system, load, shows, enough)


async def _most(system: System, load: Load, shows: list[str], count: int) -> dict[str, Any]:
    holds = await _holds(system, shows, count)
    plan = Plan(system.host, system.port, holds, load.connections, seconds=load.seconds)
    return summary(await drive(plan))


async def _open(system: System, load: Load, shows: list[str]) -> dict[str, Any]:
    count = int(load.rate * load.seconds)
    times = arrivals.poisson(load.rate, count, SEED)
    holds = await _holds(system, shows, count)
    plan = Plan(system.host, system.port, holds, OPEN_CONNECTIONS, times)
    return {"rate": load.rate, **summary(await drive(plan))}


async def _holds(system: System, shows: list[str], count: int) -> list[flows.Hold]:
    tokens = await system.guests(count)
    pairs = zip(tokens, cycle(shows), strict=False)
    return [flows.hold(system.host, token, show_id) for token, show_id in pairs]


def summary(outcome: Outcome) -> dict[str, Any]:
    """Attempts that were answered 201 or 409 count; everything else is trouble."""
    held, sold_out = outcome.count("hold", 201), outcome.count("hold", 409)
    answered = held + sold_out
    return {
        "answered": answered,
        "held": held,
        "sold_out": sold_out,
        "trouble": outcome.report.began - answered,
        "per_second": round(answered / outcome.report.seconds, 1),
        "latency": outcome.latencies()["hold"],
        "cpu_ms_each": outcome.cpu_ms_each(answered),
        "statuses": outcome.statuses(),
    }
