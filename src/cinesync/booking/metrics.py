"""Holds and how they run out, for `/metrics`."""

from collections.abc import Sequence

from prometheus_client import Gauge

from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.database.gauges import Measure

HOLDS = Gauge(
    "cinesync_holds", "Holds that are neither paid nor over, by what they are.", ["state"]
)
SEATS = Gauge("cinesync_holds_seats", "Seats that live holds keep.")
NEXT_EXPIRY = Gauge(
    "cinesync_holds_next_expiry_seconds", "Until the next live hold runs out; 0: there is none."
)
OVERDUE = Gauge(
    "cinesync_holds_overdue_seconds",
    "How long ago the oldest hold ran out that is not marked so yet; 0: there is none.",
)


def measures(db: Database) -> Sequence[Measure]:
    """One statement over a partial index."""

    async def holds() -> None:
        live, seats, ran_out, next_seconds, overdue_seconds = await db.run_one(count_holds)
        HOLDS.labels("live").set(live)
        HOLDS.labels("ran_out").set(ran_out)
        SEATS.set(seats)
        NEXT_EXPIRY.set(next_seconds)
        OVERDUE.set(overdue_seconds)

    return [holds]


async def count_holds(tx: Transaction) -> tuple[int, int, int, float, float]:
    """Live holds, their seats, holds that ran out and are not marked so yet; seconds until the
    next one runs out, and since the first of those did."""
    statement = text(
        "SELECT count(*) FILTER (WHERE expires_at > now()) AS live,"
        " CAST(COALESCE(sum(jsonb_array_length(seats)) FILTER (WHERE expires_at > now()), 0)"
        " AS bigint) AS seats,"
        " count(*) FILTER (WHERE expires_at <= now()) AS ran_out,"
        " CAST(COALESCE(EXTRACT(EPOCH FROM min(expires_at) FILTER (WHERE expires_at > now())"
        " - now()), 0) AS double precision) AS next_seconds,"
        " CAST(COALESCE(EXTRACT(EPOCH FROM now() - min(expires_at)"
        " FILTER (WHERE expires_at <= now())), 0) AS double precision) AS overdue_seconds"
        " FROM bookings WHERE state = 'held'"
    )
    row = (await tx.execute(statement)).one()
    return row.live, row.seats, row.ran_out, row.next_seconds, row.overdue_seconds
