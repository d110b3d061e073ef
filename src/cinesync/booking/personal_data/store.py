"""Statements about all data of one customer: to export it, and to anonymize it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, bindparam, case, column, func, null, or_, select, update

from cinesync.booking.model import BookingState
from cinesync.booking.tables import (
    admissions,
    booking_refunds,
    bookings,
    refused_payments,
    refused_scans,
    shows,
)
from cinesync.chassis.database import Transaction, any_of, batch, compiled, matches

_with_show = bookings.outerjoin(
    shows, (shows.c.region == bookings.c.region) & (shows.c.show_id == bookings.c.show_id)
)
EXPORT_BOOKINGS = compiled(
    select(
        bookings.c.booking_id,
        bookings.c.show_id,
        shows.c.movie_title,
        shows.c.theater_name,
        shows.c.city,
        shows.c.auditorium_name,
        shows.c.starts_at,
        bookings.c.seats,
        bookings.c.total_cents,
        bookings.c.currency,
        bookings.c.state,
        bookings.c.created_at,
        bookings.c.expires_at,
        bookings.c.payment_id,
        bookings.c.payment_failure,
        bookings.c.confirmed_at,
        bookings.c.cancelled_at,
        bookings.c.cancel_reason,
        bookings.c.cancel_note,
        bookings.c.cancelled_seats,
        bookings.c.refund_cents,
        bookings.c.refunded_cents,
        bookings.c.email_key,
        bookings.c.address_key,
    )
    .select_from(_with_show)
    .where(
        bookings.c.customer_id == bindparam("customer_id"),
        bookings.c.booking_id > bindparam("after"),
    )
    .order_by(bookings.c.booking_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def bookings_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> list[dict[str, Any]]:
    """All data of a customer's holds and bookings, by id."""
    parameters = {"customer_id": customer_id, "after": after, "limit": limit}
    return [dict(row) for row in await tx.execute(EXPORT_BOOKINGS, parameters)]


EXPORT_ADMISSIONS = compiled(
    select(admissions.c.booking_id, admissions.c.seat, admissions.c.gate, admissions.c.admitted_at)
    .join(
        bookings,
        (bookings.c.region == admissions.c.region)
        & (bookings.c.booking_id == admissions.c.booking_id),
    )
    .where(any_of(bookings.c.booking_id, "booking_ids"))
    .order_by(admissions.c.admitted_at, admissions.c.seat)
)


async def admissions_of(tx: Transaction, booking_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The admissions of these bookings."""
    rows = await tx.execute(EXPORT_ADMISSIONS, {"booking_ids": list(booking_ids)})
    return [dict(row) for row in rows]


EXPORT_REFUSED_SCANS = compiled(
    select(
        refused_scans.c.booking_id,
        refused_scans.c.seats,
        refused_scans.c.result,
        refused_scans.c.gate,
        refused_scans.c.scanned_at,
    )
    .where(any_of(refused_scans.c.booking_id, "booking_ids"))
    .order_by(refused_scans.c.refusal_id)
)


async def refused_scans_of(tx: Transaction, booking_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The scans of these bookings' tickets that admitted nobody."""
    rows = await tx.execute(EXPORT_REFUSED_SCANS, {"booking_ids": list(booking_ids)})
    return [dict(row) for row in rows]


EXPORT_REFUSED_PAYMENTS = compiled(
    select(
        refused_payments.c.payment_id,
        refused_payments.c.hold_id,
        refused_payments.c.reason,
        refused_payments.c.refund_cents,
        refused_payments.c.refunded_cents,
        refused_payments.c.currency,
        refused_payments.c.refused_at,
    )
    .where(refused_payments.c.customer_id == bindparam("customer_id"))
    .order_by(refused_payments.c.refused_at, refused_payments.c.payment_id)
)


async def refused_payments_of(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """The customer's payments that confirmed no booking."""
    rows = await tx.execute(EXPORT_REFUSED_PAYMENTS, {"customer_id": customer_id})
    return [dict(row) for row in rows]


@dataclass(frozen=True, slots=True)
class UnfinishedItem:
    """What must end before a customer can be erased: "hold", "booking" or "refund"."""

    kind: str
    booking_id: UUID
    movie_title: str | None
    until: datetime | None


_is_held = bookings.c.state == BookingState.HELD
_is_upcoming = (bookings.c.state == BookingState.CONFIRMED) & (shows.c.ends_at > func.now())
FIND_UNFINISHED = compiled(
    select(
        case((_is_held, "hold"), (_is_upcoming, "booking"), else_="refund").label("kind"),
        bookings.c.booking_id,
        shows.c.movie_title,
        case((_is_held, bookings.c.expires_at), (_is_upcoming, shows.c.ends_at)).label("until"),
    )
    .select_from(_with_show)
    .where(
        bookings.c.customer_id == bindparam("customer_id"),
        or_(
            _is_held & (bookings.c.expires_at > func.now()),
            _is_upcoming,
            bookings.c.refunded_cents < bookings.c.refund_cents,
        ),
    )
    .order_by(bookings.c.created_at, bookings.c.booking_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def unfinished(tx: Transaction, customer_id: UUID, limit: int) -> list[UnfinishedItem]:
    """Held seats, bookings of shows that are not over, and refunds that are not done."""
    parameters = {"customer_id": customer_id, "limit": limit}
    return [UnfinishedItem(*row) for row in await tx.execute(FIND_UNFINISHED, parameters)]


class OwnedBooking(NamedTuple):
    """A booking and its customer."""

    region: str
    booking_id: UUID
    customer_id: UUID


FIND_OWNED = compiled(
    select(bookings.c.region, bookings.c.booking_id, bookings.c.customer_id)
    .where(
        any_of(bookings.c.customer_id, "customer_ids"),
        ~(_is_held & (bookings.c.expires_at > func.now())),
    )
    .order_by(bookings.c.region, bookings.c.booking_id)
)


async def owned_by(tx: Transaction, customer_ids: Sequence[UUID]) -> list[OwnedBooking]:
    """Their bookings, except live holds: a payment of one must still find its customer."""
    rows = await tx.execute(FIND_OWNED, {"customer_ids": sorted(customer_ids)})
    return [OwnedBooking(*row) for row in rows]


ANONYMOUS = batch(
    "anonymous",
    bookings.c.region,
    bookings.c.booking_id,
    bookings.c.customer_id,
    column("new_id", Uuid),
)
ANONYMIZE_BOOKINGS = compiled(
    update(bookings)
    .where(matches(bookings, ANONYMOUS))
    .values(customer_id=ANONYMOUS.c.new_id, email_key=null(), address_key=null())
)
ANONYMIZE_REFUNDS = compiled(
    update(booking_refunds)
    .where(
        booking_refunds.c.booking_id == ANONYMOUS.c.booking_id,
        booking_refunds.c.actor_id == ANONYMOUS.c.customer_id,
    )
    .values(actor_id=ANONYMOUS.c.new_id)
)


async def anonymize(
    tx: Transaction, owned: Sequence[OwnedBooking], new_ids: Sequence[UUID]
) -> None:
    """Replace the customer of each booking by a new id, also in its refunds."""
    rows = [(*one, new_id) for one, new_id in zip(owned, new_ids, strict=True)]
    await tx.execute(ANONYMIZE_BOOKINGS, {"anonymous": rows})
    await tx.execute(ANONYMIZE_REFUNDS, {"anonymous": rows})


FIND_REFUSED = compiled(
    select(refused_payments.c.payment_id)
    .where(any_of(refused_payments.c.customer_id, "customer_ids"))
    .order_by(refused_payments.c.payment_id)
)


async def refused_ids_of(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Their payments that confirmed no booking."""
    rows = await tx.execute(FIND_REFUSED, {"customer_ids": sorted(customer_ids)})
    return rows.scalars()


ANONYMOUS_PAYMENTS = batch(
    "anonymous", refused_payments.c.payment_id, refused_payments.c.customer_id
)
ANONYMIZE_REFUSED = compiled(
    update(refused_payments)
    .where(matches(refused_payments, ANONYMOUS_PAYMENTS))
    .values(customer_id=ANONYMOUS_PAYMENTS.c.customer_id)
)


async def anonymize_refused(
    tx: Transaction, payment_ids: Sequence[UUID], new_ids: Sequence[UUID]
) -> None:
    """Replace the customer of each refused payment by a new id."""
    rows = list(zip(payment_ids, new_ids, strict=True))
    await tx.execute(ANONYMIZE_REFUSED, {"anonymous": rows})
