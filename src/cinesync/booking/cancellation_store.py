"""Statements about what was given back of bookings, and why."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func

from cinesync.booking.cancel_rules import Split
from cinesync.booking.model import Booking, State
from cinesync.booking.store import BOOKING_TABLE_COLUMNS, booking_of
from cinesync.booking.tables import bookings
from cinesync.chassis.database import Transaction, text

REFUND_COLUMNS = (
    "refund_id, region, booking_id, seats, refund_cents, currency, whole, reason, note, actor_id"
)


class BookingRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Seats or money of a booking that were given back: once for each `refund_id`.

    `whole` ended the booking. `reason` is customer, staff or show; `note` is what staff wrote, for
    the customer to read.
    """

    refund_id: UUID
    region: str
    booking_id: UUID
    seats: Sequence[str]
    refund_cents: int
    currency: str
    whole: bool
    reason: str
    note: str | None
    actor_id: UUID


_FIELDS = BookingRefund.__struct_fields__


async def insert_refunds(tx: Transaction, refunds: Sequence[BookingRefund]) -> None:
    """Each id once: a second time is a violation."""
    statement = text(
        f"INSERT INTO booking_refunds ({REFUND_COLUMNS}, refunded_at)"  # noqa: S608 a constant
        " SELECT t.refund_id, t.region, t.booking_id, CAST(t.seats AS jsonb), t.refund_cents,"
        " t.currency, t.whole, t.reason, t.note, t.actor_id, now() FROM unnest("
        " CAST(:refund_ids AS uuid[]), CAST(:regions AS text[]), CAST(:booking_ids AS uuid[]),"
        " CAST(:seats AS text[]), CAST(:cents AS bigint[]), CAST(:currencies AS text[]),"
        " CAST(:whole AS boolean[]), CAST(:reasons AS text[]), CAST(:notes AS text[]),"
        " CAST(:actor_ids AS uuid[])) AS t(refund_id, region, booking_id, seats, refund_cents,"
        " currency, whole, reason, note, actor_id)"
    )
    parameters = {
        "refund_ids": [refund.refund_id for refund in refunds],
        "regions": [refund.region for refund in refunds],
        "booking_ids": [refund.booking_id for refund in refunds],
        "seats": [msgspec.json.encode(refund.seats).decode() for refund in refunds],
        "cents": [refund.refund_cents for refund in refunds],
        "currencies": [refund.currency for refund in refunds],
        "whole": [refund.whole for refund in refunds],
        "reasons": [refund.reason for refund in refunds],
        "notes": [refund.note for refund in refunds],
        "actor_ids": [refund.actor_id for refund in refunds],
    }
    await tx.execute(statement, parameters)


async def find_refund(tx: Transaction, refund_id: UUID) -> BookingRefund | None:
    """What was given back under this id, if anything."""
    statement = text(
        f"SELECT {REFUND_COLUMNS} FROM booking_refunds"  # noqa: S608 a constant
        " WHERE refund_id = CAST(:refund_id AS uuid)"
    )
    row = (await tx.execute(statement, {"refund_id": refund_id})).first()
    return BookingRefund(**dict(zip(_FIELDS, row, strict=True))) if row else None


class RefundLine(msgspec.Struct, frozen=True):
    """One of a booking's refunds, for people."""

    seats: Sequence[str]
    refund_cents: int
    reason: str
    note: str | None
    refunded_at: datetime


async def refunds_of(tx: Transaction, booking_id: UUID) -> list[RefundLine]:
    """What was given back of a booking, the oldest first."""
    statement = text(
        "SELECT seats, refund_cents, reason, note, refunded_at FROM booking_refunds"
        " WHERE booking_id = CAST(:booking_id AS uuid)"
        " ORDER BY refunded_at ASC, refund_id ASC"
    )
    return [RefundLine(*row) for row in await tx.execute(statement, {"booking_id": booking_id})]


async def set_reduced(
    tx: Transaction, booking: Booking, parted: Split, refund_cents: int
) -> Booking:
    """A locked, confirmed booking keeps these seats; the others go with their money."""
    gone = [*booking.cancelled_seats, *parted.going]
    statement = (
        bookings.update()
        .values(
            seats=msgspec.to_builtins(list(parted.staying)),
            cancelled_seats=msgspec.to_builtins(gone),
            refund_cents=bookings.c.refund_cents + refund_cents,
        )
        .where(
            bookings.c.region == booking.region,
            bookings.c.booking_id == booking.booking_id,
            bookings.c.state == State.CONFIRMED,
        )
        .returning(*BOOKING_TABLE_COLUMNS, func.now().label("read_at"))
    )
    return booking_of((await tx.execute(statement)).one())
