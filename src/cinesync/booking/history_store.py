"""Statements about what became of payments, and about a customer's past."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Select, Uuid, and_, any_, case, func, literal, select

from cinesync.booking.model import Booking, State
from cinesync.booking.store import booking_of, select_bookings
from cinesync.booking.tables import bookings, refused_payments
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.booking import BookingRefused
from cinesync.contracts.payment import PaymentFailed, PaymentRefunded


@dataclass(frozen=True, slots=True)
class RefusedPayment:
    """A payment that became no booking, and how much of it went back."""

    payment_id: UUID
    hold_id: UUID
    reason: str
    refund_cents: int
    refunded_cents: int
    currency: str


async def set_payment_failures(tx: Transaction, failures: Sequence[PaymentFailed]) -> None:
    """Note why the last payment of each hold took nothing."""
    statement = text(
        "UPDATE bookings SET payment_failure = t.reason FROM unnest("
        " CAST(:booking_ids AS uuid[]), CAST(:reasons AS text[])) AS t(booking_id, reason)"
        " WHERE bookings.booking_id = t.booking_id AND bookings.state = 'held'"
    )
    reasons = {failure.hold_id: failure.reason for failure in failures}
    parameters = {"booking_ids": list(reasons), "reasons": list(reasons.values())}
    await tx.execute(statement, parameters)


async def add_refunds(tx: Transaction, refunds: Sequence[PaymentRefunded]) -> None:
    """Count money that went back from the payments of bookings."""
    statement = text(
        "UPDATE bookings SET refunded_cents = refunded_cents + t.amount_cents FROM unnest("
        " CAST(:booking_ids AS uuid[]), CAST(:payment_ids AS uuid[]),"
        " CAST(:amounts AS bigint[])) AS t(booking_id, payment_id, amount_cents)"
        " WHERE bookings.booking_id = t.booking_id AND bookings.payment_id = t.payment_id"
    )
    amounts = _refund_sums(refunds)
    parameters = {
        "booking_ids": [hold_id for hold_id, _ in amounts],
        "payment_ids": [payment_id for _, payment_id in amounts],
        "amounts": list(amounts.values()),
    }
    await tx.execute(statement, parameters)


async def take_refunds_back(tx: Transaction, sums: Mapping[tuple[UUID, UUID], int]) -> None:
    """Money that went back came again, by hold and payment: of bookings and refused payments."""
    amounts = (
        " FROM unnest(CAST(:hold_ids AS uuid[]), CAST(:payment_ids AS uuid[]),"
        " CAST(:amounts AS bigint[])) AS t(hold_id, payment_id, amount_cents)"
    )
    parameters = {
        "hold_ids": [hold_id for hold_id, _ in sums],
        "payment_ids": [payment_id for _, payment_id in sums],
        "amounts": list(sums.values()),
    }
    of_bookings = text(
        "UPDATE bookings SET refunded_cents = bookings.refunded_cents - t.amount_cents"  # noqa: S608 a constant
        f"{amounts} WHERE bookings.booking_id = t.hold_id"
        " AND bookings.payment_id = t.payment_id"
    )
    await tx.execute(of_bookings, parameters)
    of_refused = text(
        "UPDATE refused_payments SET refunded_cents"  # noqa: S608 a constant
        " = refused_payments.refunded_cents - t.amount_cents"
        f"{amounts} WHERE refused_payments.hold_id = t.hold_id"
        " AND refused_payments.payment_id = t.payment_id"
    )
    await tx.execute(of_refused, parameters)


async def add_refused_refunds(tx: Transaction, refunds: Sequence[PaymentRefunded]) -> None:
    """Count money that went back from refused payments."""
    statement = text(
        "UPDATE refused_payments SET refunded_cents = refunded_cents + t.amount_cents"
        " FROM unnest(CAST(:payment_ids AS uuid[]), CAST(:amounts AS bigint[]))"
        " AS t(payment_id, amount_cents) WHERE refused_payments.payment_id = t.payment_id"
    )
    amounts = _refund_sums(refunds)
    parameters = {
        "payment_ids": [payment_id for _, payment_id in amounts],
        "amounts": list(amounts.values()),
    }
    await tx.execute(statement, parameters)


async def refused_ids(tx: Transaction, payment_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these payments were refused before."""
    statement = select(refused_payments.c.payment_id).where(
        refused_payments.c.payment_id == any_(literal(sorted(set(payment_ids)), ARRAY(Uuid)))
    )
    return {row.payment_id for row in await tx.execute(statement)}


async def insert_refused(tx: Transaction, refusals: Sequence[BookingRefused]) -> None:
    """Remember payments that go back."""
    statement = text(
        "INSERT INTO refused_payments (payment_id, hold_id, customer_id, reason, refund_cents,"
        " refunded_cents, currency, refused_at) SELECT t.payment_id, t.hold_id, t.customer_id,"
        " t.reason, t.refund_cents, 0, t.currency, now() FROM unnest("
        " CAST(:payment_ids AS uuid[]), CAST(:hold_ids AS uuid[]),"
        " CAST(:customer_ids AS uuid[]), CAST(:reasons AS text[]), CAST(:cents AS bigint[]),"
        " CAST(:currencies AS text[])) AS t(payment_id, hold_id, customer_id, reason,"
        " refund_cents, currency)"
    )
    parameters = {
        "payment_ids": [refusal.payment_id for refusal in refusals],
        "hold_ids": [refusal.hold_id for refusal in refusals],
        "customer_ids": [refusal.customer_id for refusal in refusals],
        "reasons": [refusal.reason for refusal in refusals],
        "cents": [refusal.refund_cents for refusal in refusals],
        "currencies": [refusal.currency for refusal in refusals],
    }
    await tx.execute(statement, parameters)


async def refusals_of(tx: Transaction, hold_id: UUID) -> list[RefusedPayment]:
    """Payments for this hold that went back."""
    statement = (
        select(
            refused_payments.c.payment_id,
            refused_payments.c.hold_id,
            refused_payments.c.reason,
            refused_payments.c.refund_cents,
            refused_payments.c.refunded_cents,
            refused_payments.c.currency,
        )
        .where(refused_payments.c.hold_id == hold_id)
        .order_by(refused_payments.c.refused_at, refused_payments.c.payment_id)
    )
    return [RefusedPayment(*row) for row in await tx.execute(statement)]


async def bookings_page(
    tx: Transaction,
    customer_id: UUID,
    statuses: Sequence[State],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Booking]:
    """A customer's bookings by status, the newest first, from a key on."""
    newest_first = (bookings.c.created_at.desc(), bookings.c.booking_id.desc())
    statement = (
        select_bookings()
        .where(bookings.c.customer_id == customer_id, _STATUS.in_(statuses))
        .order_by(*newest_first)
        .limit(limit)
    )
    if after is not None:
        created_at, booking_id = after
        is_older = bookings.c.created_at < created_at
        is_next = (bookings.c.created_at == created_at) & (bookings.c.booking_id < booking_id)
        statement = statement.where(is_older | is_next)
    return [booking_of(row) for row in await tx.execute(statement)]


async def buyers(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Those of them who ever bought something."""
    statement = text(
        "SELECT DISTINCT customer_id FROM bookings WHERE confirmed_at IS NOT NULL"
        " AND customer_id = ANY(CAST(:customer_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"customer_ids": sorted(set(customer_ids))})
    return [row.customer_id for row in rows]


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


async def spending(tx: Transaction, customer_id: UUID) -> list[Spending]:
    """By month of confirmation and currency, the newest first. Refunds are taken off."""
    month = func.date_trunc("month", bookings.c.confirmed_at)
    is_live = case((bookings.c.state == State.CONFIRMED, 1), else_=0)
    seat_count = func.jsonb_array_length(bookings.c.seats)
    statement: Select[tuple[datetime, str, int, int, int, int, int]] = (
        select(
            month,
            bookings.c.currency,
            func.sum(is_live),
            func.sum(1 - is_live),
            func.sum(is_live * seat_count),
            func.sum(bookings.c.total_cents - bookings.c.refund_cents),
            func.sum(bookings.c.refund_cents),
        )
        .where(bookings.c.customer_id == customer_id, bookings.c.confirmed_at.is_not(None))
        .group_by(month, bookings.c.currency)
        .order_by(month.desc(), bookings.c.currency)
    )
    return [
        Spending(row[0], row[1], *(int(number) for number in row[2:]))
        for row in await tx.execute(statement)
    ]


# A hold that ran out has expired, swept already or not.
_STATUS = case(
    (
        and_(bookings.c.state == State.HELD, bookings.c.expires_at <= func.now()),
        str(State.EXPIRED),
    ),
    else_=bookings.c.state,
)


def _refund_sums(refunds: Sequence[PaymentRefunded]) -> dict[tuple[UUID, UUID], int]:
    """UPDATE … FROM takes one row per target."""
    sums: dict[tuple[UUID, UUID], int] = {}
    for refund in refunds:
        key = (refund.hold_id, refund.payment_id)
        sums[key] = sums.get(key, 0) + refund.amount_cents
    return sums
