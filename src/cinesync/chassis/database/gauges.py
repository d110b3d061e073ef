"""Gauges for `/metrics` that are read from databases at intervals, not by a scrape."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Gauge
from sqlalchemy import func, select

from cinesync.chassis import background, telemetry
from cinesync.chassis.database.database import Database
from cinesync.chassis.database.pool import Pool
from cinesync.chassis.database.statements import compiled
from cinesync.chassis.database.tables import dead_letters, outbox
from cinesync.chassis.database.transaction import Transaction

log = telemetry.get_logger(__name__)

MEASURE_SECONDS = 15.0

OUTBOX_EVENTS = Gauge(
    "cinesync_outbox_events", "Events that no bus has taken yet, counted.", ["service"]
)
OUTBOX_OLDEST = Gauge(
    "cinesync_outbox_oldest_seconds", "Age of the oldest of them; 0: there is none.", ["service"]
)
DEAD_LETTERS = Gauge(
    "cinesync_dead_letters", "Events that no consumer could handle, by queue.", ["queue"]
)
CONNECTIONS_IN_USE = Gauge(
    "cinesync_database_connections_in_use", "Connections that work, of the pool.", ["service"]
)
CONNECTIONS_MAX = Gauge(
    "cinesync_database_connections_max", "Connections that the pool opens at most.", ["service"]
)

WAITING_EVENTS = compiled(
    select(
        func.count().label("waiting"),
        func.min(outbox.c.occurred_at).label("oldest"),
        func.now().label("now"),
    ).where(outbox.c.sent_at.is_(None))
)
COUNT_DEAD_LETTERS = compiled(
    select(dead_letters.c.queue, func.count().label("letters")).group_by(dead_letters.c.queue)
)

Measure = Callable[[], Awaitable[None]]


class Labelled:
    """A gauge whose labels come and go: what is not there any more is 0."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._seen: set[tuple[str, ...]] = set()

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """These, and nothing else."""
        for labels in self._seen - values.keys():
            self._gauge.labels(*labels).set(0)
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        self._seen |= values.keys()


_dead_letters = Labelled(DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class Collector:
    """Measures one thing after the other; one that cannot be had leaves the others alone."""

    measures: Sequence[Measure]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if await self.collect():
                background.succeeded()
            await asyncio.sleep(MEASURE_SECONDS)

    async def collect(self) -> bool:
        """Once; whether everything could be measured."""
        is_whole = True
        for measure in self.measures:
            try:
                await measure()
            except Exception as error:  # noqa: BLE001 told, and the others are measured
                is_whole = False
                background.failed(error)
                log.warning("metrics.unmeasured", reason=repr(error))
        return is_whole


def of_database(service: str, db: Database) -> Sequence[Measure]:
    """What every service's own database has."""
    _watch_pool(service, db.pool)

    async def waiting() -> None:
        count, oldest_seconds = await db.run_one(waiting_events)
        OUTBOX_EVENTS.labels(service).set(count)
        OUTBOX_OLDEST.labels(service).set(oldest_seconds)

    async def dead() -> None:
        counts = await db.run_one(count_dead_letters)
        _dead_letters.replace({(queue,): count for queue, count in counts.items()})

    return [waiting, dead]


async def waiting_events(tx: Transaction) -> tuple[int, float]:
    """How many, and the age of the oldest in seconds."""
    row = (await tx.execute(WAITING_EVENTS)).one()
    return row.waiting, max((row.now - (row.oldest or row.now)).total_seconds(), 0.0)


async def count_dead_letters(tx: Transaction) -> dict[str, int]:
    """By queue."""
    return {row.queue: row.letters for row in await tx.execute(COUNT_DEAD_LETTERS)}


def _watch_pool(service: str, pool: Pool) -> None:
    """Read when somebody scrapes."""
    CONNECTIONS_IN_USE.labels(service).set_function(lambda: pool.in_use)
    CONNECTIONS_MAX.labels(service).set(pool.size)
