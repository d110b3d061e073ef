"""Gauges of holds, for `/metrics`."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Gauge

from cinesync.booking.store import count_holds
from cinesync.chassis.database import Database
from cinesync.chassis.database.gauges import Measure

HOLDS: Final = Gauge(
    "cinesync_holds", "Holds that are neither paid nor over, by what they are.", ["state"]
)
SEATS: Final = Gauge("cinesync_holds_seats", "Seats that live holds keep.")
NEXT_EXPIRY: Final = Gauge(
    "cinesync_holds_next_expiry_seconds", "Until the next live hold expires; 0: there is none."
)
OVERDUE: Final = Gauge(
    "cinesync_holds_overdue_seconds",
    "Since the oldest hold expired that is not marked so yet; 0: there is none.",
)


def measures(db: Database) -> Sequence[Measure]:
    """One statement over a partial index."""

    async def holds() -> None:
        live, seats, expired, next_seconds, overdue_seconds = await db.run_one(count_holds)
        HOLDS.labels("live").set(live)
        HOLDS.labels("ran_out").set(expired)
        SEATS.set(seats)
        NEXT_EXPIRY.set(next_seconds)
        OVERDUE.set(overdue_seconds)

    return [holds]
