"""Statements about where the ledger has bookings: off the way of every purchase (I6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select

from cinesync.booking.tables import booking_receipts
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.booking import BookingConfirmed
from cinesync.contracts.ledger import LedgerCommitted

KIND: Final = BookingConfirmed.name


@dataclass(frozen=True, slots=True)
class BookingReceipt:
    """Of the entry that confirms a booking: its event, its block, its place in the log.

    The ledger's /receipts/{event_id} is the file that proves it.
    """

    event_id: UUID
    height: int
    index: int


async def insert(tx: Transaction, committed: Sequence[LedgerCommitted]) -> None:
    """Note where confirmed bookings are; what else became an entry is not ours to keep."""
    statement = text(
        "INSERT INTO booking_receipts (booking_id, event_id, height, log_index)"
        " SELECT t.booking_id, t.event_id, t.height, t.log_index FROM unnest("
        " CAST(:booking_ids AS uuid[]), CAST(:event_ids AS uuid[]), CAST(:heights AS bigint[]),"
        " CAST(:indices AS bigint[])) AS t(booking_id, event_id, height, log_index)"
        " ON CONFLICT (booking_id) DO NOTHING"
    )
    found = {
        entry.booking_id: (entry.entry_event_id, block.height, entry.index)
        for block in committed
        for entry in block.entries
        if entry.kind == KIND
    }
    if not found:
        return
    ordered = sorted(found.items())
    parameters = {
        "booking_ids": [booking_id for booking_id, _ in ordered],
        "event_ids": [event_id for _, (event_id, _, _) in ordered],
        "heights": [height for _, (_, height, _) in ordered],
        "indices": [index for _, (_, _, index) in ordered],
    }
    await tx.execute(statement, parameters)


async def of_booking(tx: Transaction, booking_id: UUID) -> BookingReceipt | None:
    """None: not confirmed, or on its way into the ledger."""
    columns = booking_receipts.c
    statement = select(columns.event_id, columns.height, columns.log_index).where(
        columns.booking_id == booking_id
    )
    row = (await tx.execute(statement)).first()
    return BookingReceipt(*row) if row else None
