"""The control run of the race: `cinesync serve` without the guards that make I1 true.

Reads, decides, writes: no primary key (the test drops it), no serializable isolation.
"""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cinesync.booking import store
from cinesync.chassis import db
from cinesync.cli import run

_init = db.Database.__init__


def _read_committed(self: db.Database, engine: AsyncEngine, url: str) -> None:
    _init(self, engine.execution_options(isolation_level="READ COMMITTED"), url)


async def claim_unguarded(
    tx: db.Transaction, claims: Iterable[store.Claim], state: str, hold_seconds: int
) -> set[store.Claim]:
    """What the seats looked like a moment ago is believed."""
    claims = list(claims)
    statement = text(
        "INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)"
        " VALUES (:region, :show_id, :seat, :booking_id, :state,"
        " now() + :seconds * interval '1 second')"
    )
    for claim in claims:
        values = {
            "region": claim.region,
            "show_id": claim.show_id,
            "seat": claim.seat,
            "booking_id": claim.booking_id,
            "state": state,
            "seconds": hold_seconds,
        }
        await tx.execute(statement, values)
    return set(claims)


if __name__ == "__main__":
    db.Database.__init__ = _read_committed  # type: ignore[method-assign]
    store.claim_seats = claim_unguarded
    run()
