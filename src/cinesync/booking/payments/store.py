"""Statements about the payments of bookings: refused ones, money that went back, disputes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, func, select, update

from cinesync.booking.model import Booking, BookingState
from cinesync.booking.tables import bookings, disputes_ended, refused_payments
from cinesync.chassis.database import Transaction, any_of, batch, compiled, insert_from
from cinesync.contracts.booking import BookingRefused
from cinesync.contracts.payment import PaymentFailed

Amounts = Mapping[tuple[UUID, UUID], int]  # cents by hold and payment


@dataclass(frozen=True, slots=True)
class RefusedPayment:
    """A payment that confirmed no booking, and how much of it was refunded."""

    payment_id: UUID
    hold_id: UUID
    reason: str
    refund_cents: int
    refunded_cents: int
    currency: str


FAILURES = batch("failures", bookings.c.booking_id, bookings.c.payment_failure)
SET_FAILURES = compiled(
    update(bookings)
    .where(bookings.c.booking_id == FAILURES.c.booking_id, bookings.c.state == BookingState.HELD)
    .values(payment_failure=FAILURES.c.payment_failure)
)


async def set_payment_failures(tx: Transaction, failures: Sequence[PaymentFailed]) -> None:
    """Save why the last payment of each hold failed."""
    rows = list({failure.hold_id: failure.reason for failure in failures}.items())
    await tx.execute(SET_FAILURES, {"failures": rows})


AMOUNTS = batch(
    "amounts",
    bookings.c.booking_id,
    bookings.c.payment_id,
    bookings.c.refunded_cents.label("amount_cents"),
)
ADD_REFUNDED = compiled(
    update(bookings)
    .where(
        bookings.c.booking_id == AMOUNTS.c.booking_id,
        bookings.c.payment_id == AMOUNTS.c.payment_id,
    )
    .values(refunded_cents=bookings.c.refunded_cents + AMOUNTS.c.amount_cents)
)
ADD_REFUNDED_OF_REFUSED = compiled(
    update(refused_payments)
    .where(
        refused_payments.c.payment_id == AMOUNTS.c.payment_id,
        refused_payments.c.hold_id == AMOUNTS.c.booking_id,
    )
    .values(refunded_cents=refused_payments.c.refunded_cents + AMOUNTS.c.amount_cents)
)


async def add_refunded(tx: Transaction, amounts: Amounts) -> None:
    """Count money that went back, of bookings and of refused payments. A negative amount is money
    whose refund failed afterwards."""
    rows = [(hold_id, payment_id, cents) for (hold_id, payment_id), cents in amounts.items()]
    await tx.execute(ADD_REFUNDED, {"amounts": rows})
    await tx.execute(ADD_REFUNDED_OF_REFUSED, {"amounts": rows})


FIND_REFUSED_IDS = compiled(
    select(refused_payments.c.payment_id).where(
        any_of(refused_payments.c.payment_id, "payment_ids")
    )
)


async def refused_ids(tx: Transaction, payment_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these payments were refused before."""
    rows = await tx.execute(FIND_REFUSED_IDS, {"payment_ids": sorted(set(payment_ids))})
    return set(rows.scalars())


REFUSED = batch(
    "refused",
    refused_payments.c.payment_id,
    refused_payments.c.hold_id,
    refused_payments.c.customer_id,
    refused_payments.c.reason,
    refused_payments.c.refund_cents,
    refused_payments.c.currency,
)
INSERT_REFUSED = compiled(
    insert_from(refused_payments, REFUSED, refunded_cents=0, refused_at=func.now())
)


async def insert_refused(tx: Transaction, refused: Sequence[BookingRefused]) -> None:
    """Save payments that are refunded because they confirm no booking."""
    await tx.execute(INSERT_REFUSED, {"refused": refused})


FIND_REFUSED = compiled(
    select(
        refused_payments.c.payment_id,
        refused_payments.c.hold_id,
        refused_payments.c.reason,
        refused_payments.c.refund_cents,
        refused_payments.c.refunded_cents,
        refused_payments.c.currency,
    )
    .where(refused_payments.c.hold_id == bindparam("hold_id"))
    .order_by(refused_payments.c.refused_at, refused_payments.c.payment_id)
)


async def refused_payments_of(tx: Transaction, hold_id: UUID) -> list[RefusedPayment]:
    """The refused payments of a hold."""
    return [RefusedPayment(*row) for row in await tx.execute(FIND_REFUSED, {"hold_id": hold_id})]


ADD_REFUND = compiled(
    update(bookings)
    .where(
        bookings.c.region == bindparam("of_region"),
        bookings.c.booking_id == bindparam("of_booking"),
    )
    .values(
        refund_cents=func.least(
            bookings.c.total_cents,
            bookings.c.refund_cents + bindparam("cents", type_=BigInteger),
        )
    )
)


async def add_refund(tx: Transaction, booking: Booking, cents: int) -> None:
    """Raise what a booking refunds, at most to its total."""
    parameters = {"of_region": booking.region, "of_booking": booking.booking_id, "cents": cents}
    await tx.execute(ADD_REFUND, parameters)


ENDED = batch("ended", disputes_ended.c.dispute_id)
INSERT_ENDED = compiled(
    insert_from(disputes_ended, ENDED).on_conflict_do_nothing(
        index_elements=list(disputes_ended.primary_key)
    )
)
FIND_ENDED = compiled(
    select(disputes_ended.c.dispute_id).where(any_of(disputes_ended.c.dispute_id, "dispute_ids"))
)


async def insert_ended_disputes(tx: Transaction, dispute_ids: Iterable[UUID]) -> None:
    """Save that these disputes are over."""
    rows = [(dispute_id,) for dispute_id in sorted(set(dispute_ids))]
    await tx.execute(INSERT_ENDED, {"ended": rows})


async def ended_disputes(tx: Transaction, dispute_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these disputes are over."""
    rows = await tx.execute(FIND_ENDED, {"dispute_ids": sorted(set(dispute_ids))})
    return set(rows.scalars())
