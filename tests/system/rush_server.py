"""`cinesync serve` for the race: buyers meet, and RUSH_GUARDS=off takes away what makes I1 true.

Every process waits a moment between looking at the seats and taking some, so that a rush of a
few hundred buyers collides as one of many thousands does. With the guards off it believes what it
saw: no primary key (the test drops it), no serializable isolation.
"""

import asyncio
import os
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cinesync.booking import store
from cinesync.chassis import db
from cinesync.cli import run

MEETING_SECONDS = 0.05

_init = db.Database.__init__
_claim_seats = store.claim_seats


def _read_committed(self: db.Database, engine: AsyncEngine, url: str, **_: bool) -> None:
    """Weaker isolation, and commands of one process side by side."""
    _init(self, engine, url, "read_committed")


async def claim_guarded(
    tx: db.Transaction, claims: Iterable[store.Claim], state: str, hold_seconds: int
) -> set[store.Claim]:
    """The production statement, a moment later."""
    await asyncio.sleep(MEETING_SECONDS)
    return await _claim_seats(tx, claims, state, hold_seconds)


async def claim_unguarded(
    tx: db.Transaction, claims: Iterable[store.Claim], state: str, hold_seconds: int
) -> set[store.Claim]:
    """What the seats looked like a moment ago is believed."""
    await asyncio.sleep(MEETING_SECONDS)
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
    if os.environ["RUSH_GUARDS"] == "on":  # noqa: TID251 this is a test's own setting
        store.claim_seats = claim_guarded
    else:
        db.Database.__init__ = _read_committed  # type: ignore[method-assign, assignment]
        store.claim_seats = claim_unguarded
    run()
