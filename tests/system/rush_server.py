"""`cinesync serve` for the race of buyers; RUSH_GUARDS=off removes what prevents double sales.

No process claims its first seats before all processes have chosen theirs, and each waits 50 ms
before it claims more: a rush of a few hundred buyers collides as often as one of many thousands.
Without the guards there is no primary key (the test drops it) and no serializable isolation.
"""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from cinesync.booking import seat_store
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.database.pool import Pool
from cinesync.cli.main import run

PROCESSES = int(os.environ["RUSH_PROCESSES"])  # noqa: TID251 these are a test's own settings
BARRIER_SECONDS = 0.05
BARRIER_SECONDS_MAX = 60.0

_init = Database.__init__
_claim_seats = seat_store.claim_seats


def _read_committed(self: Database, pool: Pool, url: str, **_: bool) -> None:
    """Weaker isolation, and concurrent commands in one process."""
    _init(self, pool, url, "read_committed")


class FileBarrier:
    """A barrier for all processes: a file to which each appends one byte."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._has_begun = False

    async def wait(self, state: str) -> None:
        """Wait for all processes at the first hold; for 50 ms at every other claim."""
        if self._has_begun or state != seat_store.HELD:
            await asyncio.sleep(BARRIER_SECONDS)
            return
        self._has_begun = True
        with self._file.open("a") as file:
            file.write(".")
        async with asyncio.timeout(BARRIER_SECONDS_MAX):
            while self._file.stat().st_size < PROCESSES:  # noqa: ASYNC110 others write it
                await asyncio.sleep(BARRIER_SECONDS / 10)


barrier = FileBarrier(Path(os.environ["FAULT_FILE"]).with_suffix(".met"))  # noqa: TID251 as above


async def claim_guarded(
    tx: Transaction, rows: Iterable[seat_store.SeatRow], state: str, hold_seconds: int
) -> set[seat_store.SeatRow]:
    """The production statement, after the barrier."""
    await barrier.wait(state)
    return await _claim_seats(tx, rows, state, hold_seconds)


async def claim_unguarded(
    tx: Transaction, rows: Iterable[seat_store.SeatRow], state: str, hold_seconds: int
) -> set[seat_store.SeatRow]:
    """Insert without any check that the seats are still free."""
    await barrier.wait(state)
    rows = list(rows)
    statement = text(
        "INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)"
        " VALUES (:region, :show_id, :seat, :booking_id, :state,"
        " now() + :seconds * interval '1 second')"
    )
    for row in rows:
        values = {
            "region": row.region,
            "show_id": row.show_id,
            "seat": row.seat,
            "booking_id": row.booking_id,
            "state": state,
            "seconds": hold_seconds,
        }
        await tx.execute(statement, values)
    return set(rows)


if __name__ == "__main__":
    if os.environ["RUSH_GUARDS"] == "on":  # noqa: TID251 as above
        seat_store.claim_seats = claim_guarded
    else:
        Database.__init__ = _read_committed  # type: ignore[method-assign, assignment]
        seat_store.claim_seats = claim_unguarded
    run()
