"""Holds: the most that are answered, and how fast at a steady rate; spread, and on one show."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from bench.load import arrivals, flows
from bench.load.driver import Outcome, drive
from bench.load.generator import Plan
from bench.stock import Auditorium, add_shows
from bench.system import System

CONNECTIONS = 256
OPEN_CONNECTIONS = 512
SEED = 20261121
SUSTAINABLE = 0.7  # of the most there are
ONE_SHOW = Auditorium(rows=18, seats_in_row=25)
WARM_UP = 1_000
FASTER_WHEN_WARM = 2


@dataclass(frozen=True, slots=True)
class Load:
    """How much; `rate` is that of the open loop, a second."""

    seconds: float
    rate: float
    connections: int = CONNECTIONS


QUICK = Load(seconds=2, rate=300)
FULL = Load(seconds=6, rate=2_000)


async def spread(system: System, load: Load) -> dict[str, Any]:
    """Over all shows with free seats."""
    shows = await system.shows(seats_min=30)
    return await _both(system, load, shows, shows, shows)


async def one_show(system: System, load: Load) -> dict[str, Any]:
    """All on one show: most attempts find it sold out, as in a real rush."""
    shows = await add_shows(system, 3, ONE_SHOW)
    return await _both(system, load, *([show_id] for show_id in shows))


async def _both(
    system: System, load: Load, warm_up: list[str], closed: list[str], steady: list[str]
) -> dict[str, Any]:
    """As many as there can be; then at the load's rate, or what it can keep up with."""
    most = await _closed(system, load, closed, warm_up_on=warm_up)
    rate = min(load.rate, most["per_second"] * SUSTAINABLE)
    return {"closed": most, "open": await _open(system, load, steady, rate)}


async def _closed(
    system: System, load: Load, shows: list[str], *, warm_up_on: list[str]
) -> dict[str, Any]:
    warm_up = await most(system, load, warm_up_on, WARM_UP)
    enough = int(warm_up["per_second"] * load.seconds * FASTER_WHEN_WARM)
    return await most(system, load, shows, enough)


async def most(system: System, load: Load, shows: list[str], count: int) -> dict[str, Any]:
    """As many as there can be, of `count` at most."""
    holds = await _holds(system, shows, count)
    plan = Plan(
        system.endpoint.host, system.endpoint.port, holds, load.connections, seconds=load.seconds
    )
    return summary(await drive(plan))


async def _open(system: System, load: Load, shows: list[str], rate: float) -> dict[str, Any]:
    count = int(rate * load.seconds)
    times = arrivals.poisson(rate, count, SEED)
    holds = await _holds(system, shows, count)
    plan = Plan(system.endpoint.host, system.endpoint.port, holds, OPEN_CONNECTIONS, times)
    return {"rate": round(rate, 1), **summary(await drive(plan))}


async def _holds(system: System, shows: list[str], count: int) -> list[flows.Hold]:
    tokens = await system.guests(count)
    pairs = zip(tokens, cycle(shows), strict=False)
    return [flows.hold(system.endpoint, token, show_id) for token, show_id in pairs]


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
        "lag": outcome.lag(),
        "latency": outcome.latencies()["hold"],
        "cpu_ms_each": outcome.cpu_ms_each(answered),
        "statuses": outcome.statuses(),
        "processors": outcome.processors,
    }
