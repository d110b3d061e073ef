"""The hot show: 450 seats, 20,000 buyers in ten seconds; who gets a seat pays for it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures import purchases
from bench.load import arrivals, flows
from bench.load.driver import Outcome, drive
from bench.load.generator import Plan, Report
from bench.load.latency import summarise
from bench.stock import Auditorium, add_shows
from bench.system import System

CONNECTIONS = 1_000
SEED = 20261122
RETRY_SECONDS = 0.25
BOOKED = """
SELECT count(*) AS booked, coalesce(extract(epoch FROM max(confirmed_at) - min(created_at)), 0)
    AS sold_out_seconds, coalesce(sum(jsonb_array_length(seats)), 0) AS seats,
    (SELECT count(*) FROM (SELECT seat FROM bookings b, jsonb_array_elements(b.seats) seat
        WHERE b.show_id = $1::uuid AND b.state = 'confirmed'
        GROUP BY seat->>'seat', seat HAVING count(*) > 1) twice) AS sold_twice
FROM bookings WHERE show_id = $1::uuid AND state = 'confirmed'
"""


@dataclass(frozen=True, slots=True)
class Load:
    """`buyers` come within `seconds`."""

    buyers: int
    seconds: float
    auditorium: Auditorium


QUICK = Load(buyers=600, seconds=2, auditorium=Auditorium(rows=10, seats_in_row=15))
FULL = Load(buyers=20_000, seconds=10, auditorium=Auditorium(rows=18, seats_in_row=25))


async def measure(system: System, load: Load) -> dict[str, Any]:
    """On a show of its own; one like it was sold out before, so that nothing is cold."""
    cold, hot = await add_shows(system, 2, load.auditorium)
    books = purchases.Books(system)
    await _rush(system, books, cold, Load(load.auditorium.seats * 2, 5.0, load.auditorium))
    outcome = await _rush(system, books, hot, load)
    [facts] = await system.query("booking", BOOKED, hot)
    return summary(outcome, load, facts)


async def _rush(system: System, books: purchases.Books, show_id: str, load: Load) -> Outcome:
    buyers = await purchases.buyers_of(system, system.endpoint, [show_id], load.buyers)
    in_ledger = await books.in_ledger()

    async def settled(report: Report) -> None:
        await books.settle(in_ledger + report.answers["pay", 201])

    return await drive(plan_of(system.endpoint, buyers, load), settled)


def summary(outcome: Outcome, load: Load, facts: Mapping[str, Any]) -> dict[str, Any]:
    """`sold_out_seconds` from the first arrival to the confirmation of the last seat."""
    report = outcome.report
    refused = outcome.count("hold", 409)
    unsold = load.auditorium.seats - int(facts["seats"])
    holds = summarise(report.latencies["hold"])
    return {
        "buyers": load.buyers,
        "seats": load.auditorium.seats,
        "sold": int(facts["seats"]),
        "sold_out_seconds": round(float(facts["sold_out_seconds"]), 2) if unsold == 0 else None,
        "sold_twice": int(facts["sold_twice"]),
        "unsold_while_refused": unsold if refused else 0,
        "refused": refused,
        "retries": report.retries,
        "unanswered": report.unanswered,
        "answer": asdict(holds) if holds else None,
        "pay": outcome.latencies().get("pay"),
        "lag": outcome.lag(),
        "cpu_ms_each": outcome.cpu_ms_each(load.buyers),
        "statuses": outcome.statuses(),
        "processors": outcome.processors,
    }


def plan_of(endpoint: flows.Endpoint, buyers: list[flows.Purchase], load: Load) -> Plan:
    """All buyers at this endpoint."""
    times = arrivals.poisson(load.buyers / load.seconds, load.buyers, SEED)
    return Plan(
        endpoint.host, endpoint.port, buyers, CONNECTIONS, times, retry_seconds=RETRY_SECONDS
    )
