"""Statements about a customer's bookings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, bindparam, case, func, literal, select

from cinesync.booking.model import Booking, BookingState
from cinesync.booking.store import booking_of, select_bookings
from cinesync.booking.tables import bookings
from cinesync.chassis.database import Transaction, any_of, compiled

# The state by the clock: a hold past its expiry is expired, marked so or not.
_status: Any = case(
    (
        (bookings.c.state == BookingState.HELD) & (bookings.c.expires_at <= func.now()),
        literal(BookingState.EXPIRED, Text),
    ),
    else_=bookings.c.state,
)


_first_page = (
    select_bookings()
    .where(bookings.c.customer_id == bindparam("customer_id"), any_of(_status, "statuses"))
    .order_by(bookings.c.created_at.desc(), bookings.c.booking_id.desc())
    .limit(bindparam("limit", type_=BigInteger))
)
_is_older = (bookings.c.created_at < bindparam("created_at")) | (
    (bookings.c.created_at == bindparam("created_at"))
    & (bookings.c.booking_id < bindparam("booking_id"))
)
FIND_FIRST_PAGE = compiled(_first_page)
FIND_NEXT_PAGE = compiled(_first_page.where(_is_older))


async def bookings_page(
    tx: Transaction,
    customer_id: UUID,
    statuses: Sequence[BookingState],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Booking]:
    """A customer's bookings by status, the newest first, after a key."""
    parameters = {"customer_id": customer_id, "statuses": statuses, "limit": limit}
    if after is None:
        rows = await tx.execute(FIND_FIRST_PAGE, parameters)
    else:
        created_at, booking_id = after
        key = {"created_at": created_at, "booking_id": booking_id}
        rows = await tx.execute(FIND_NEXT_PAGE, {**parameters, **key})
    return [booking_of(row) for row in rows]


FIND_BUYERS = compiled(
    select(bookings.c.customer_id)
    .distinct()
    .where(bookings.c.confirmed_at.is_not(None), any_of(bookings.c.customer_id, "customer_ids"))
)


async def buyers(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Those of the customers who have ever bought something."""
    rows = await tx.execute(FIND_BUYERS, {"customer_ids": sorted(set(customer_ids))})
    return rows.scalars()


@dataclass(frozen=True, slots=True)
class Spending:
    """What one customer bought in one month (UTC) in one currency."""

    month: datetime
    currency: str
    booking_count: int
    cancelled_count: int
    seat_count: int
    spent_cents: int
    refund_cents: int


_month = func.date_trunc("month", bookings.c.confirmed_at)
_is_confirmed = case((bookings.c.state == BookingState.CONFIRMED, 1), else_=0)
FIND_SPENDING = compiled(
    select(
        _month.label("month"),
        bookings.c.currency,
        func.sum(_is_confirmed),
        func.sum(1 - _is_confirmed),
        func.sum(_is_confirmed * func.jsonb_array_length(bookings.c.seats)),
        func.sum(bookings.c.total_cents - bookings.c.refund_cents),
        func.sum(bookings.c.refund_cents),
    )
    .where(bookings.c.customer_id == bindparam("customer_id"), bookings.c.confirmed_at.is_not(None))
    .group_by(_month, bookings.c.currency)
    .order_by(_month.desc(), bookings.c.currency)
)


async def spending(tx: Transaction, customer_id: UUID) -> list[Spending]:
    """By month of confirmation and currency, the newest first. Refunds are subtracted."""
    rows = await tx.execute(FIND_SPENDING, {"customer_id": customer_id})
    return [Spending(row[0], row[1], *(int(number) for number in row[2:])) for row in rows]
