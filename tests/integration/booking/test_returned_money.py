"""Money that goes back without booking's asking, money that comes again, and disputes."""

from uuid import UUID

import pytest

from cinesync.booking import event_handlers, history_store, returned_money, revocations
from cinesync.booking.model import State
from cinesync.chassis import clock
from cinesync.contracts.payment import (
    PaymentDisputed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSuccess,
)
from tests.support.booking import BoxOffice, paid, refunded, scheduled


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
async def test_a_booking_whose_money_is_all_back_ends(office: BoxOffice, reason: str) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    event = refunded(payment, unasked_cents=2000, reason=reason)
    await office.db.run(event_handlers.note_refunds, [event])
    booking = await office.find(hold.booking_id)
    assert (booking.state, booking.cancel_reason) == (State.CANCELLED, reason)
    assert (booking.refund_cents, booking.refund_state) == (2000, "refunded")
    assert await office.seat_rows(show) == {}
    revoked = await office.db.read(revocations.of_show, show.show_id)
    assert len(revoked.tickets) == 2
    [told] = await office.told("booking.cancelled")
    assert (told.refund_cents, told.reason) == (2000, reason)


async def test_a_part_that_went_back_leaves_the_booking(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    await office.db.run(event_handlers.note_refunds, [refunded(payment, 500, unasked_cents=500)])
    booking = await office.find(hold.booking_id)
    assert (booking.state, booking.refund_cents, booking.refunded_cents) == (
        State.CONFIRMED,
        500,
        500,
    )
    rest = refunded(payment, 1500, unasked_cents=1500, reason="provider")
    await office.db.run(event_handlers.note_refunds, [rest])
    assert (await office.find(hold.booking_id)).state is State.CANCELLED


async def test_what_booking_had_asked_for_is_not_counted_again(office: BoxOffice) -> None:
    """Staff gave back by hand what a cancellation had asked for: nothing of it is unasked."""
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    await office.cancel(hold)
    await office.db.run(event_handlers.note_refunds, [refunded(payment, 2000, unasked_cents=0)])
    booking = await office.find(hold.booking_id)
    assert (booking.refund_cents, booking.refund_state) == (2000, "refunded")
    assert len(await office.told("booking.cancelled")) == 1


async def test_money_back_before_the_payment_is_known_waits_for_it(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = paid(hold)
    event = refunded(payment, unasked_cents=2000, reason="provider")
    with pytest.raises(returned_money.PaymentNotKnownYet):
        await office.db.run(event_handlers.note_refunds, [event])
    await office.db.run(event_handlers.confirm_bookings, [payment])
    await office.db.run(event_handlers.note_refunds, [event])
    assert (await office.find(hold.booking_id)).state is State.CANCELLED


async def test_money_back_of_a_refused_payment_touches_no_booking(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    second = await office.pay(hold)
    event = refunded(second, unasked_cents=2000, reason="provider")
    await office.db.run(event_handlers.note_refunds, [event])
    assert (await office.find(hold.booking_id)).state is State.CONFIRMED
    [refused] = await office.db.read(history_store.refusals_of, hold.booking_id)
    assert refused.refunded_cents == 2000


async def test_a_refund_that_failed_is_owed_again(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    await office.cancel(hold)
    back = refunded(payment)
    await office.db.run(event_handlers.note_refunds, [back])
    never_told = refund_failed(refunded(payment, 700), was_refunded=False)
    failures = [refund_failed(back), never_told]
    await office.db.run(returned_money.note_failed_refunds, failures)
    booking = await office.find(hold.booking_id)
    assert (booking.refunded_cents, booking.refund_state) == (0, "pending")


async def test_a_refused_payments_refund_that_failed_is_owed_again(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    back = refunded(await office.pay(hold))
    await office.db.run(event_handlers.note_refunds, [back])
    await office.db.run(returned_money.note_failed_refunds, [refund_failed(back)])
    [refused] = await office.db.read(history_store.refusals_of, hold.booking_id)
    assert refused.refunded_cents == 0


async def test_tickets_rest_while_a_dispute_holds_their_money(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)

    async def revoked() -> int:
        return len((await office.db.read(revocations.of_show, show.show_id)).tickets)

    for status, count in (("inquiry", 0), ("open", 2), ("won", 0)):
        await office.db.run(returned_money.note_disputes, [disputed(payment, status)])
        assert await revoked() == count, status
    assert (await office.find(hold.booking_id)).state is State.CONFIRMED
    await office.db.run(returned_money.note_disputes, [disputed(payment, "open", 1999)])
    assert await revoked() == 0, "a part of the money is no reason to turn people away"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_dispute_that_is_over_holds_nothing_back_however_late_it_is_told(
    office: BoxOffice, *, at_once: bool
) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment, dispute_id = await office.pay(hold), clock.new_id()
    told = [disputed(payment, status, dispute_id=dispute_id) for status in ("won", "open")]
    for batch in [told] if at_once else [[one] for one in told]:
        await office.db.run(returned_money.note_disputes, batch)
    assert (await office.db.read(revocations.of_show, show.show_id)).tickets == []


async def test_a_dispute_about_another_payment_touches_no_ticket(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    await office.db.run(returned_money.note_disputes, [disputed(paid(hold), "open")])
    assert (await office.db.read(revocations.of_show, show.show_id)).tickets == []
