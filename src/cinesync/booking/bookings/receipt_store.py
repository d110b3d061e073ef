"""Statements about where the ledger has bookings. No purchase waits for them (I6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, select

from cinesync.booking.tables import booking_receipts
from cinesync.chassis.database import Transaction, batch, compiled, insert_from
from cinesync.contracts.booking import BookingConfirmed
from cinesync.contracts.ledger import LedgerCommitted

KIND: Final = BookingConfirmed.name


@dataclass(frozen=True, slots=True)
class BookingReceipt:
    """The ledger entry that confirms a booking: its event, its block, its index in the log.

    The ledger's /receipts/{event_id} is the file that proves it.
    """

    event_id: UUID
    height: int
    index: int


RECEIPTS = batch(
    "receipts",
    booking_receipts.c.booking_id,
    booking_receipts.c.event_id,
    booking_receipts.c.height,
    booking_receipts.c.log_index,
)
INSERT = compiled(
    insert_from(booking_receipts, RECEIPTS).on_conflict_do_nothing(
        index_elements=list(booking_receipts.primary_key)
    )
)


async def insert_receipts(tx: Transaction, committed: Sequence[LedgerCommitted]) -> None:
    """Save where confirmed bookings are; other entries do not concern booking."""
    found = {
        entry.booking_id: (entry.entry_event_id, block.height, entry.index)
        for block in committed
        for entry in block.entries
        if entry.kind == KIND
    }
    if found:
        rows = [(booking_id, *position) for booking_id, position in sorted(found.items())]
        await tx.execute(INSERT, {"receipts": rows})


FIND = compiled(
    select(
        booking_receipts.c.event_id, booking_receipts.c.height, booking_receipts.c.log_index
    ).where(booking_receipts.c.booking_id == bindparam("booking_id"))
)


async def of_booking(tx: Transaction, booking_id: UUID) -> BookingReceipt | None:
    """None if the booking is not confirmed, or not in the ledger yet."""
    row = (await tx.execute(FIND, {"booking_id": booking_id})).first()
    return BookingReceipt(*row) if row else None
