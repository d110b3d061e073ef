"""What one would write, on the same PostgreSQL, bank and machine, under the same load."""

from dataclasses import dataclass
from typing import Any

import asyncpg
import sqlalchemy

from bench.baseline import server, stock
from bench.figures import holds, hot, purchases
from bench.load import arrivals, flows
from bench.load.driver import drive
from bench.load.generator import Plan
from bench.system import System

DATABASE = "bench_baseline"
SHOWS = 400
SEATS = 150
CONNECTIONS = 32
SOLD = """
SELECT count(*) FILTER (WHERE status = 'booked') AS seats, (SELECT count(*) FROM (
        SELECT seat FROM bookings WHERE show_id = $1::uuid AND status = 'confirmed'
        GROUP BY seat HAVING count(*) > 1) twice) AS sold_twice,
    (SELECT coalesce(extract(epoch FROM max(confirmed_at) - min(expires_at)) + 600, 0)
        FROM bookings WHERE show_id = $1::uuid AND status = 'confirmed') AS sold_out_seconds
FROM seats WHERE show_id = $1::uuid
"""


@dataclass(frozen=True, slots=True)
class Load:
    """`rate` is that of the open loop, a second."""

    seconds: float
    rate: float
    hot: hot.Load


QUICK = Load(seconds=2, rate=20, hot=hot.QUICK)
FULL = Load(seconds=10, rate=100, hot=hot.FULL)


async def measure(system: System, load: Load) -> dict[str, Any]:
    """Holds, purchases, and the hot show."""
    admin = await asyncpg.connect(system.server("postgres"))
    await admin.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    try:
        return await _measure(system, load)
    finally:
        await admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await admin.close()


async def _measure(system: System, load: Load) -> dict[str, Any]:
    url = system.server(DATABASE).replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url)
    shows = [str(show_id) for show_id in stock.fill(engine, SHOWS, SEATS)]
    hot_shows = [str(show_id) for show_id in stock.fill(engine, 2, load.hot.auditorium.seats)]
    engine.dispose()
    with server.running(system.home, system.environ, url) as endpoint:
        warm_up = await _purchases(system, endpoint, shows, load, purchases.WARM_UP)
        enough = int(warm_up["per_second"] * load.seconds * purchases.FASTER_WHEN_WARM)
        return {
            "holds": await _holds(system, endpoint, shows, load, 2 * enough),
            "purchases": await _purchases(system, endpoint, shows, load, enough),
            "steady": await _steady(system, endpoint, shows, load),
            "hot": await _hot(system, endpoint, hot_shows, load.hot),
        }


async def _holds(
    system: System, endpoint: flows.Endpoint, shows: list[str], load: Load, count: int
) -> dict[str, Any]:
    tokens = await system.guests(count)
    requests = [flows.hold(endpoint, token, shows[n % SHOWS]) for n, token in enumerate(tokens)]
    plan = Plan(endpoint.host, endpoint.port, requests, CONNECTIONS, seconds=load.seconds)
    return holds.summary(await drive(plan))


async def _purchases(
    system: System, endpoint: flows.Endpoint, shows: list[str], load: Load, count: int
) -> dict[str, Any]:
    buyers = await purchases.buyers_of(system, endpoint, shows, count)
    plan = Plan(endpoint.host, endpoint.port, buyers, CONNECTIONS, seconds=load.seconds)
    outcome = await drive(plan)
    answers = purchases.answers(outcome)
    each = outcome.cpu_ms_each(outcome.count("pay", 201))
    return {**answers, "per_second": answers["answered_per_second"], "cpu_ms_each": each}


async def _steady(
    system: System, endpoint: flows.Endpoint, shows: list[str], load: Load
) -> dict[str, Any]:
    count = int(load.rate * load.seconds)
    buyers = await purchases.buyers_of(system, endpoint, shows, count)
    times = arrivals.poisson(load.rate, count, purchases.SEED)
    plan = Plan(endpoint.host, endpoint.port, buyers, purchases.OPEN_CONNECTIONS, times)
    outcome = await drive(plan)
    return {"rate": load.rate, **purchases.answers(outcome)}


async def _hot(
    system: System, endpoint: flows.Endpoint, shows: list[str], load: hot.Load
) -> dict[str, Any]:
    buyers = await purchases.buyers_of(system, endpoint, shows[:1], load.buyers)
    outcome = await drive(hot.plan_of(endpoint, buyers, load))
    connection = await asyncpg.connect(system.server(DATABASE))
    facts = await connection.fetchrow(SOLD, shows[0])
    await connection.close()
    return hot.summary(outcome, load, facts)
