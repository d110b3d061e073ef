"""Money that goes back without booking's asking, money that comes again, and disputes."""

from uuid import UUID

import pytest

from cinesync.booking.admission import revocation_store as revocations
from cinesync.booking.model import BookingState
from cinesync.booking.payments import returned_money
from cinesync.booking.payments import service as payments
from cinesync.booking.payments import store as payment_store
from cinesync.chassis import clock
from cinesync.contracts.payment import (
    PaymentDisputed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSuccess,
)
from tests.support.booking import BookingHarness, paid, refunded, scheduled


def disputed(
    payment: PaymentSuccess, status: str, cents: int = 2000, dispute_id: UUID | None = None
) -> PaymentDisputed:
    return PaymentDisputed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        dispute_id=dispute_id or clock.new_id(),
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        amount_cents=cents,
        currency="EUR",
        reason="fraudulent",
        status=status,
    )


def refund_failed(refund: PaymentRefunded, *, was_refunded: bool = True) -> PaymentRefundFailed:
    return PaymentRefundFailed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        hold_id=refund.hold_id,
        customer_id=refund.customer_id,
        amount_cents=refund.amount_cents,
        currency=refund.currency,
        reason=refund.reason,
        surplus=refund.surplus,
        was_refunded=was_refunded,
    )


@pytest.mark.parametrize("reason", ["provider", "dispute_lost"])
async def test_a_booking_whose_money_is_all_back_ends(harness: BookingHarness, reason: str) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    event = refunded(payment, unasked_cents=2000, reason=reason)
    await harness.db.run(payments.count_refunds, [event])
    booking = await harness.find(hold.booking_id)
    assert (booking.state, booking.cancel_reason) == (BookingState.CANCELLED, reason)
    assert (booking.refund_cents, booking.refund_state) == (2000, "refunded")
    assert await harness.seat_rows(show) == {}
    revoked = await harness.db.read(revocations.of_show, show.show_id)
    assert len(revoked.tickets) == 2
    [emitted] = await harness.events("booking.cancelled")
    assert (emitted.refund_cents, emitted.reason) == (2000, reason)


async def test_a_part_that_went_back_leaves_the_booking(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    await harness.db.run(payments.count_refunds, [refunded(payment, 500, unasked_cents=500)])
    booking = await harness.find(hold.booking_id)
    assert (booking.state, booking.refund_cents, booking.refunded_cents) == (
        BookingState.CONFIRMED,
        500,
        500,
    )
    rest = refunded(payment, 1500, unasked_cents=1500, reason="provider")
    await harness.db.run(payments.count_refunds, [rest])
    assert (await harness.find(hold.booking_id)).state is BookingState.CANCELLED


async def test_what_booking_had_asked_for_is_not_counted_again(harness: BookingHarness) -> None:
    """Staff gave back by hand what a cancellation had asked for: nothing of it is unasked."""
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    await harness.cancel(hold)
    await harness.db.run(payments.count_refunds, [refunded(payment, 2000, unasked_cents=0)])
    booking = await harness.find(hold.booking_id)
    assert (booking.refund_cents, booking.refund_state) == (2000, "refunded")
    assert len(await harness.events("booking.cancelled")) == 1


async def test_money_back_before_the_payment_is_known_waits_for_it(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = paid(hold)
    event = refunded(payment, unasked_cents=2000, reason="provider")
    with pytest.raises(returned_money.PaymentNotKnownYet):
        await harness.db.run(payments.count_refunds, [event])
    await harness.db.run(payments.confirm_bookings, [payment])
    await harness.db.run(payments.count_refunds, [event])
    assert (await harness.find(hold.booking_id)).state is BookingState.CANCELLED


async def test_money_back_of_a_refused_payment_touches_no_booking(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    second = await harness.pay(hold)
    event = refunded(second, unasked_cents=2000, reason="provider")
    await harness.db.run(payments.count_refunds, [event])
    assert (await harness.find(hold.booking_id)).state is BookingState.CONFIRMED
    [refused] = await harness.db.read(payment_store.refused_payments_of, hold.booking_id)
    assert refused.refunded_cents == 2000


async def test_a_refund_that_failed_is_owed_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    await harness.cancel(hold)
    back = refunded(payment)
    await harness.db.run(payments.count_refunds, [back])
    never_told = refund_failed(refunded(payment, 700), was_refunded=False)
    failures = [refund_failed(back), never_told]
    await harness.db.run(returned_money.subtract_failed_refunds, failures)
    booking = await harness.find(hold.booking_id)
    assert (booking.refunded_cents, booking.refund_state) == (0, "pending")


async def test_a_refused_payments_refund_that_failed_is_owed_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    back = refunded(await harness.pay(hold))
    await harness.db.run(payments.count_refunds, [back])
    await harness.db.run(returned_money.subtract_failed_refunds, [refund_failed(back)])
    [refused] = await harness.db.read(payment_store.refused_payments_of, hold.booking_id)
    assert refused.refunded_cents == 0


async def test_tickets_rest_while_a_dispute_holds_their_money(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)

    async def revoked() -> int:
        return len((await harness.db.read(revocations.of_show, show.show_id)).tickets)

    for status, count in (("inquiry", 0), ("open", 2), ("won", 0)):
        await harness.db.run(returned_money.apply_disputes, [disputed(payment, status)])
        assert await revoked() == count, status
    assert (await harness.find(hold.booking_id)).state is BookingState.CONFIRMED
    await harness.db.run(returned_money.apply_disputes, [disputed(payment, "open", 1999)])
    assert await revoked() == 0, "a part of the money is no reason to turn people away"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_dispute_that_is_over_holds_nothing_back_however_late_it_is_told(
    harness: BookingHarness, *, at_once: bool
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment, dispute_id = await harness.pay(hold), clock.new_id()
    emitted = [disputed(payment, status, dispute_id=dispute_id) for status in ("won", "open")]
    for batch in [emitted] if at_once else [[one] for one in emitted]:
        await harness.db.run(returned_money.apply_disputes, batch)
    assert (await harness.db.read(revocations.of_show, show.show_id)).tickets == []


async def test_a_dispute_about_another_payment_touches_no_ticket(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    await harness.db.run(returned_money.apply_disputes, [disputed(paid(hold), "open")])
    assert (await harness.db.read(revocations.of_show, show.show_id)).tickets == []
