"""What payment events do to holds and bookings: confirm, refuse, count refunds.

A batch of captured payments is confirmed in rounds. Most payments pay live holds, each with seats
of its own, and one round claims the seats of all of them. Two payments may want the same seats,
when a hold expired and its seats went to another one; the later of them waits for the next round,
in which the earlier one has its seats. Seats are claimed all or none by the primary key of
`booking_seats`, as for a hold; a live hold's rows are its own already, so its claim always
succeeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cinesync.booking import seat_store, store
from cinesync.booking.model import (
    Booking,
    BookingState,
    PaymentDecision,
    Show,
    Trigger,
    decide_payment,
    states_before,
)
from cinesync.booking.payments import returned_money
from cinesync.booking.payments import store as payment_store
from cinesync.booking.seat_store import BOOKED
from cinesync.booking.shows import store as show_store
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingConfirmed, BookingRefused
from cinesync.contracts.payment import PaymentFailed, PaymentRefunded, PaymentSuccess


@dataclass(slots=True)
class _PaymentBatch:
    """The bookings and shows of a batch as they stand after each round, and the events so far."""

    bookings: dict[UUID, Booking]
    shows: dict[UUID, Show]
    refused_ids: set[UUID] = field(default_factory=set)
    confirmed: list[BookingConfirmed] = field(default_factory=list)
    refused: list[BookingRefused] = field(default_factory=list)

    def decide(self, payment: PaymentSuccess) -> PaymentDecision:
        if payment.payment_id in self.refused_ids:
            return PaymentDecision.KNOWN
        booking = self.bookings.get(payment.hold_id)
        show = self.shows.get(booking.show_id) if booking else None
        return decide_payment(payment, booking, show)

    def pays_live_hold(self, payment: PaymentSuccess) -> bool:
        """Such a payment cannot have been refused before."""
        booking = self.bookings.get(payment.hold_id)
        is_live = booking is not None and booking.status is BookingState.HELD
        return is_live and self.decide(payment) is PaymentDecision.CONFIRM

    def confirm(self, payment: PaymentSuccess) -> None:
        booking = self.bookings[payment.hold_id]
        self.confirmed.append(_booking_confirmed(booking, payment))
        self.bookings[payment.hold_id] = booking.paid(payment.payment_id)

    def refuse(self, payment: PaymentSuccess, decision: PaymentDecision) -> None:
        self.refused_ids.add(payment.payment_id)
        self.refused.append(_booking_refused(payment, decision))


async def confirm_bookings(tx: Transaction, payments: Sequence[PaymentSuccess]) -> None:
    """Confirm live holds; give holds that have ended the same seats if they are free; refuse all
    other payments, which are refunded then (I5)."""
    bookings = await store.lock_bookings(tx, [payment.hold_id for payment in payments])
    shows = await show_store.find_shows(tx, [booking.show_id for booking in bookings.values()])
    batch = _PaymentBatch(dict(bookings), dict(shows))
    uncertain = [one.payment_id for one in payments if not batch.pays_live_hold(one)]
    if uncertain:
        batch.refused_ids = await payment_store.refused_ids(tx, uncertain)
    waiting = list(payments)
    while waiting:
        waiting = await _run_round(tx, batch, waiting)
    if batch.refused:
        await payment_store.insert_refused(tx, batch.refused)
    await outbox.append(tx, [*batch.confirmed, *batch.refused])


async def _run_round(
    tx: Transaction, batch: _PaymentBatch, payments: Sequence[PaymentSuccess]
) -> list[PaymentSuccess]:
    """Decide as many payments as want different seats; the others, in order, for the next round."""
    wanted: set[tuple[UUID, str]] = set()
    claiming: dict[UUID, PaymentSuccess] = {}
    later: list[PaymentSuccess] = []
    for payment in payments:
        decision = batch.decide(payment)
        if decision is PaymentDecision.CONFIRM:
            booking = batch.bookings[payment.hold_id]
            seats = {(booking.show_id, seat) for seat in booking.seat_names}
            if wanted.isdisjoint(seats):
                claiming[payment.hold_id] = payment
            else:
                later.append(payment)
            wanted |= seats
        elif decision is not PaymentDecision.KNOWN:
            batch.refuse(payment, decision)
    if claiming:
        await _claim_and_confirm(tx, batch, claiming)
    return later


async def _claim_and_confirm(
    tx: Transaction, batch: _PaymentBatch, payments: dict[UUID, PaymentSuccess]
) -> None:
    """Claim the seats of each hold, all or none; confirm it, or refuse its payment."""
    wanted = {hold_id: seat_store.rows_of(batch.bookings[hold_id]) for hold_id in payments}
    rows = [row for of_hold in wanted.values() for row in of_hold]
    claimed = await seat_store.claim_seats(tx, rows, BOOKED, 0)
    won: list[UUID] = []
    lost: list[UUID] = []
    for hold_id, of_hold in wanted.items():
        (won if claimed.issuperset(of_hold) else lost).append(hold_id)
    undo = [row for hold_id in lost for row in wanted[hold_id] if row in claimed]
    if undo:
        await seat_store.free_seats(tx, undo)
    if won:
        paid = [(batch.bookings[hold_id], payments[hold_id].payment_id) for hold_id in won]
        confirmed = await store.set_confirmed(tx, paid, states_before(Trigger.PAID))
        assert confirmed == set(won), "they were locked"
    for hold_id in won:
        batch.confirm(payments[hold_id])
    for hold_id in lost:
        batch.refuse(payments[hold_id], PaymentDecision.SEATS_GONE)


async def save_failures(tx: Transaction, failures: Sequence[PaymentFailed]) -> None:
    """Save why a payment failed. The hold stays and can be paid in another way."""
    await payment_store.set_payment_failures(tx, failures)


async def count_refunds(tx: Transaction, refunds: Sequence[PaymentRefunded]) -> None:
    """Count money that went back, of bookings and of refused payments."""
    counted = [refund for refund in refunds if not refund.surplus]
    if not counted:
        return
    amounts: dict[tuple[UUID, UUID], int] = {}
    for refund in counted:
        key = refund.hold_id, refund.payment_id
        amounts[key] = amounts.get(key, 0) + refund.amount_cents
    await payment_store.add_refunded(tx, amounts)
    unasked = [refund for refund in counted if refund.unasked_cents]
    if unasked:
        await returned_money.apply_unrequested(tx, unasked)


def _booking_confirmed(booking: Booking, payment: PaymentSuccess) -> BookingConfirmed:
    return BookingConfirmed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        booking_id=booking.booking_id,
        payment_id=payment.payment_id,
        customer_id=booking.customer_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=booking.seat_names,
        total_cents=booking.total_cents,
        currency=booking.currency,
        late=booking.status is not BookingState.HELD,
    )


def _booking_refused(payment: PaymentSuccess, decision: PaymentDecision) -> BookingRefused:
    return BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        refund_cents=payment.amount_cents,
        currency=payment.currency,
        reason=str(decision),
    )
