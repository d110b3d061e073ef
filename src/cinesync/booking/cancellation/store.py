"""Statements about cancelled seats and refunds of bookings."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import JSONB

from cinesync.booking.cancellation.rules import SeatPartition
from cinesync.booking.model import Booking, BookingState
from cinesync.booking.store import BOOKING_COLUMNS, READ_AT, booking_of
from cinesync.booking.tables import booking_refunds, bookings
from cinesync.chassis.database import Transaction, batch, compiled, insert_from


class BookingRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Cancelled seats, money, or both. A `refund_id` is carried out once.

    `whole` ended the booking. `reason` is customer, staff or show; `note` is the staff's
    explanation for the customer.
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


_columns = [booking_refunds.c[name] for name in BookingRefund.__struct_fields__]
REFUNDS = batch("refunds", *_columns)
INSERT_REFUNDS = compiled(insert_from(booking_refunds, REFUNDS, refunded_at=func.now()))


async def insert_refunds(tx: Transaction, refunds: Sequence[BookingRefund]) -> None:
    """Each refund id once: a second time violates the primary key."""
    rows = [
        {
            **msgspec.structs.asdict(refund),
            "seats": msgspec.json.encode(refund.seats).decode(),
        }
        for refund in refunds
    ]
    await tx.execute(INSERT_REFUNDS, {"refunds": rows})


FIND_REFUND = compiled(
    select(*_columns).where(booking_refunds.c.refund_id == bindparam("refund_id"))
)


async def find_refund(tx: Transaction, refund_id: UUID) -> BookingRefund | None:
    """The refund with this id, if there is one."""
    row = (await tx.execute(FIND_REFUND, {"refund_id": refund_id})).first()
    return BookingRefund(**dict(row)) if row else None


class RefundRecord(msgspec.Struct, frozen=True):
    """One of a booking's refunds, for people."""

    seats: Sequence[str]
    refund_cents: int
    reason: str
    note: str | None
    refunded_at: datetime


FIND_REFUNDS = compiled(
    select(*(booking_refunds.c[name] for name in RefundRecord.__struct_fields__))
    .where(booking_refunds.c.booking_id == bindparam("booking_id"))
    .order_by(booking_refunds.c.refunded_at, booking_refunds.c.refund_id)
)


async def refunds_of(tx: Transaction, booking_id: UUID) -> list[RefundRecord]:
    """The refunds of a booking, the oldest first."""
    rows = await tx.execute(FIND_REFUNDS, {"booking_id": booking_id})
    return [RefundRecord(*row) for row in rows]


REDUCE = compiled(
    update(bookings)
    .where(
        bookings.c.region == bindparam("of_region"),
        bookings.c.booking_id == bindparam("of_booking"),
        bookings.c.state == BookingState.CONFIRMED,
    )
    .values(
        seats=bindparam("remaining", type_=JSONB),
        cancelled_seats=bindparam("cancelled", type_=JSONB),
        refund_cents=bookings.c.refund_cents + bindparam("cents", type_=BigInteger),
    )
    .returning(*BOOKING_COLUMNS, READ_AT)
)


async def set_reduced(
    tx: Transaction, booking: Booking, partition: SeatPartition, refund_cents: int
) -> Booking:
    """A locked, confirmed booking keeps the remaining seats; the others are cancelled."""
    cancelled = [*booking.cancelled_seats, *partition.cancelled]
    parameters = {
        "of_region": booking.region,
        "of_booking": booking.booking_id,
        "remaining": msgspec.json.encode(partition.remaining).decode(),
        "cancelled": msgspec.json.encode(cancelled).decode(),
        "cents": refund_cents,
    }
    return booking_of((await tx.execute(REDUCE, parameters)).one())
