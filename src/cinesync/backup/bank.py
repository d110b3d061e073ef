"""Removes from the sandbox bank's books what happened after the databases' point.

The bank is copied after that point, so it has every charge and refund that the databases know.
Later ones are unknown to them, and are removed. Only those since the start of the backup are: an
older charge that the databases do not know is for the audit to find.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from cinesync.backup import sqlite_copy

PAGE: Final = 1000
MICROSECONDS: Final = 1_000_000
# The first 48 bits of an id that rises with time are its milliseconds since 1970.
CHARGES: Final = (
    "SELECT rowid, charge_id, reference FROM charges WHERE rowid > ? AND charge_id >= ?"
    " ORDER BY rowid LIMIT ?"
)
REFUNDS: Final = (
    "SELECT seq, entry_id FROM lines WHERE seq > ? AND kind = 'refund' AND at_seconds >= ?"
    " ORDER BY seq LIMIT ?"
)

Known = Callable[[Sequence[UUID]], Awaitable[set[UUID]]]


async def cut(
    path: Path, started_at: int, known_payments: Known, known_refunds: Known
) -> tuple[int, int]:
    """How many charges and refunds were removed. `started_at`: microseconds since 1970."""
    with sqlite_copy.changed(path) as books:
        charges = await _cut_charges(books, started_at, known_payments)
        refunds = await _cut_refunds(books, started_at, known_refunds)
    return charges, refunds


async def _cut_charges(books: sqlite3.Connection, started_at: int, known: Known) -> int:
    first = f"ch_{started_at // 1000:012x}"
    after, count = 0, 0
    while page := books.execute(CHARGES, (after, first, PAGE)).fetchall():
        after = page[-1][0]
        payments = {reference: _id(reference) for _, _, reference in page}
        ours = await known([one for one in payments.values() if one is not None])
        for _, charge_id, reference in page:
            if payments[reference] not in ours:
                books.execute("DELETE FROM lines WHERE charge_id = ?", (charge_id,))
                books.execute("DELETE FROM webhooks WHERE event_id = ?", (f"evt_{charge_id}",))
                books.execute("DELETE FROM charges WHERE charge_id = ?", (charge_id,))
                count += 1
    return count


async def _cut_refunds(books: sqlite3.Connection, started_at: int, known: Known) -> int:
    after, count = 0, 0
    while page := books.execute(REFUNDS, (after, started_at / MICROSECONDS, PAGE)).fetchall():
        after = page[-1][0]
        refunds = {entry_id: _id(entry_id) for _, entry_id in page}
        ours = await known([one for one in refunds.values() if one is not None])
        for seq, entry_id in page:
            if refunds[entry_id] not in ours:
                books.execute("DELETE FROM lines WHERE seq = ?", (seq,))
                count += 1
    return count


def _id(name: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(name)
    return None
