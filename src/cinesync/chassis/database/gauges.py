"""Figures that are counted in databases now and then, for `/metrics`: never for a request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Gauge

from cinesync.chassis import background, telemetry
from cinesync.chassis.database.database import Database
from cinesync.chassis.database.pool import Pool
from cinesync.chassis.database.statements import text
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

    async def outbox() -> None:
        count, oldest_seconds = await db.run_one(waiting_events)
        OUTBOX_EVENTS.labels(service).set(count)
        OUTBOX_OLDEST.labels(service).set(oldest_seconds)

    async def dead_letters() -> None:
        counts = await db.run_one(count_dead_letters)
        _dead_letters.replace({(queue,): count for queue, count in counts.items()})

    return [outbox, dead_letters]


async def waiting_events(tx: Transaction) -> tuple[int, float]:
    """How many, and the age of the oldest in seconds."""
    statement = text(
        "SELECT count(*) AS waiting, CAST(COALESCE(EXTRACT(EPOCH FROM"
        " now() - min(occurred_at)), 0) AS double precision) AS oldest"
        " FROM outbox WHERE sent_at IS NULL"
    )
    row = (await tx.execute(statement)).one()
    return int(row.waiting), max(float(row.oldest), 0.0)


async def count_dead_letters(tx: Transaction) -> dict[str, int]:
    """By queue."""
    statement = text("SELECT queue, count(*) AS letters FROM dead_letters GROUP BY queue")
    return {row.queue: int(row.letters) for row in await tx.execute(statement)}


def _watch_pool(service: str, pool: Pool) -> None:
    """Read when somebody scrapes."""
    CONNECTIONS_IN_USE.labels(service).set_function(lambda: pool.in_use)
    CONNECTIONS_MAX.labels(service).set(pool.size)
