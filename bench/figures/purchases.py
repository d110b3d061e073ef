"""Complete purchases: hold, pay, confirmed, in the ledger."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import asyncpg

from bench.figures import probes
from bench.load import arrivals, flows
from bench.load.driver import Outcome, drive
from bench.load.generator import Plan, Report
from bench.system import System

CONNECTIONS = 512
OPEN_CONNECTIONS = 512
PROBES_PER_SECOND = 2.0
SEED = 20261121
SETTLED_SECONDS_MAX = 120.0
SETTLED_PAUSE_SECONDS = 0.1
WARM_UP = 1_500
SUSTAINABLE = 0.7  # of the most there are
FASTER_WHEN_WARM = 2
# An entry for the payment and one for the booking.
CONFIRMED = "SELECT count(*) FROM bookings WHERE state = 'confirmed'"
IN_LEDGER = (
    "SELECT count(*) FROM submissions JOIN batches USING (batch_id)"
    " WHERE kind = $1 AND height IS NOT NULL"
)
WAITING = "SELECT count(*) FROM batches WHERE height IS NULL"


@dataclass(frozen=True, slots=True)
class Load:
    """How much; `rate` is that of the open loop, a second."""

    seconds: float
    rate: float
    connections: int = CONNECTIONS


QUICK = Load(seconds=3, rate=20)
FULL = Load(seconds=10, rate=500)


class Books:
    """How far the purchases are, according to the databases."""

    def __init__(self, system: System) -> None:
        self._booking, self._ledger = system.database("booking"), system.database("ledger")

    async def confirmed(self) -> int:
        """Bookings; among ten million sold seats, counting takes a second."""
        return await _value(self._booking, CONFIRMED)

    async def in_ledger(self) -> int:
        """Bookings as well: what is in the ledger was confirmed before."""
        return await _value(self._ledger, IN_LEDGER, "booking.confirmed")

    async def settle(self, in_ledger: int) -> int:
        """Wait until so many are in the ledger; how many are.

        They are counted when nothing waits: to count a hundred thousand takes PostgreSQL as long as
        a hundred purchases, and it would do so while they are measured.
        """
        deadline = asyncio.get_running_loop().time() + SETTLED_SECONDS_MAX
        while asyncio.get_running_loop().time() < deadline:
            if not await _value(self._ledger, WAITING):
                found = await self.in_ledger()
                if found >= in_ledger:
                    return found
            await asyncio.sleep(SETTLED_PAUSE_SECONDS)
        return await self.in_ledger()


async def _value(url: str, statement: str, *values: Any) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(statement, *values))
    finally:
        await connection.close()


async def measure(system: System, load: Load) -> dict[str, Any]:
    """The most there are, then the answers' times at a steady rate."""
    shows = await system.shows(seats_min=30)
    warm_up = await closed(system, load, shows, WARM_UP)
    enough = int(warm_up["answered_per_second"] * load.seconds * FASTER_WHEN_WARM)
    most = await closed(system, load, shows, max(enough, WARM_UP))
    rate = min(load.rate, most["per_second"] * SUSTAINABLE)
    steady = await steady_rate(system, load, shows, rate)
    return {"closed": most, "open": steady}


async def closed(system: System, load: Load, shows: list[str], count: int) -> dict[str, Any]:
    """As many as there can be."""
    buyers = await buyers_of(system, system.endpoint, shows, count)
    plan = Plan(
        system.endpoint.host, system.endpoint.port, buyers, load.connections, seconds=load.seconds
    )
    return await run(system, plan)


async def steady_rate(system: System, load: Load, shows: list[str], rate: float) -> dict[str, Any]:
    """At a rate that it can keep up with."""
    count = int(rate * load.seconds)
    times = arrivals.poisson(rate, count, SEED)
    buyers = await buyers_of(system, system.endpoint, shows, count)
    plan = Plan(system.endpoint.host, system.endpoint.port, buyers, OPEN_CONNECTIONS, times)
    probing = asyncio.create_task(probes.probe(system, shows, PROBES_PER_SECOND, load.seconds))
    figures = await run(system, plan, probing)
    return {"rate": round(rate, 1), **figures, "seen": (await probing).summary()}


async def buyers_of(
    system: System, endpoint: flows.Endpoint, shows: list[str], count: int
) -> list[flows.Purchase]:
    """Each is a new guest of the shop's."""
    tokens = await system.guests(count)
    pairs = zip(tokens, cycle(shows), strict=False)
    return [flows.purchase(endpoint, token, show_id) for token, show_id in pairs]


async def run(
    system: System, plan: Plan, probing: Awaitable[probes.Seen] | None = None
) -> dict[str, Any]:
    """Until what was paid is in the ledger; what probes paid counts as well."""
    books = Books(system)
    confirmed, in_ledger = await books.confirmed(), await books.in_ledger()

    async def settled(report: Report) -> None:
        paid = report.answers["pay", 201] + (len((await probing).in_ledger) if probing else 0)
        await books.settle(in_ledger + paid)

    outcome = await drive(plan, settled)
    return summary(
        outcome, await books.confirmed() - confirmed, await books.in_ledger() - in_ledger
    )


def summary(outcome: Outcome, confirmed: int, in_ledger: int) -> dict[str, Any]:
    """A purchase counts when its booking is in the ledger, and the clock runs until the last is."""
    return {
        **answers(outcome),
        "confirmed": confirmed,
        "in_ledger": in_ledger,
        "per_second": round(in_ledger / outcome.settled_seconds, 1),
        "settled_after_seconds": round(outcome.settled_seconds - outcome.report.seconds, 2),
        "cpu_ms_each": outcome.cpu_ms_each(in_ledger),
    }


def answers(outcome: Outcome) -> dict[str, Any]:
    """What the buyers saw."""
    times, paid = outcome.latencies(), outcome.count("pay", 201)
    return {
        "began": outcome.report.began,
        "paid": paid,
        "unanswered": outcome.report.unanswered,
        "answered_per_second": round(paid / outcome.report.seconds, 1),
        "hold": times.get("hold"),
        "pay": times.get("pay"),
        "lag": outcome.lag(),
        "statuses": outcome.statuses(),
        "processors": outcome.processors,
    }
