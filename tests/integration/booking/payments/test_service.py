"""Payments arrive in time, late, twice, with a wrong amount, out of order (I5)."""

import asyncio
from typing import cast

import pytest

from cinesync.booking import service
from cinesync.booking.bookings import receipt_store
from cinesync.booking.bookings.receipt_store import BookingReceipt
from cinesync.booking.model import BookingState, NotConfirmed, SeatTaken, TooLateToCancel
from cinesync.booking.payments import service as payments
from cinesync.booking.payments import store as payment_store
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.contracts.booking import BookingCancelled
from cinesync.contracts.ledger import CommittedEntry, LedgerCommitted
from tests.support.booking import BookingHarness, called_off, failed, paid, refunded, scheduled

pytestmark = pytest.mark.slow


async def test_a_paid_hold_is_a_booking(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    booking = await harness.find(hold.booking_id)
    assert (booking.state, booking.payment_id, booking.late) == (
        BookingState.CONFIRMED,
        payment.payment_id,
        False,
    )
    assert await harness.seat_rows(show) == dict.fromkeys(["A1", "A2"], (hold.booking_id, "booked"))
    [event] = await harness.events("booking.confirmed")
    assert (event.booking_id, event.seats, event.late) == (hold.booking_id, ["A1", "A2"], False)
    assert (event.total_cents, event.currency) == (2000, "EUR")


async def test_booked_seats_never_run_out(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    await harness.expire_holds(hold)
    await harness.db.run(service.expire_holds, 0, 10)
    assert len(await harness.seat_rows(show)) == 2
    with pytest.raises(SeatTaken):
        await harness.hold(show, "A1", "A2")


async def test_an_event_in_two_messages_books_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = paid(hold)
    again = paid(hold, payment_id=payment.payment_id)
    await harness.db.run(payments.confirm_bookings, [payment, again])
    await harness.db.run(payments.confirm_bookings, [paid(hold, payment_id=payment.payment_id)])
    assert len(await harness.events("booking.confirmed")) == 1
    assert await harness.events("booking.refused") == []


async def test_a_second_payment_goes_back(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    first, second = paid(hold), paid(hold)
    await harness.db.run(payments.confirm_bookings, [first, second])
    third = await harness.pay(hold)
    assert (await harness.find(hold.booking_id)).payment_id == first.payment_id
    refused = await harness.events("booking.refused")
    assert [event.payment_id for event in refused] == [second.payment_id, third.payment_id]
    assert {event.reason for event in refused} == {"already_paid"}
    assert {event.refund_cents for event in refused} == {2000}


async def test_a_refused_payment_is_refused_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold, amount_cents=1)
    await harness.pay(hold, amount_cents=1, payment_id=payment.payment_id)
    assert len(await harness.events("booking.refused")) == 1


async def test_late_money_gets_the_same_seats_if_they_are_free(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(hold)
    await harness.db.run(service.expire_holds, 0, 10)
    assert await harness.seat_rows(show) == {}
    await harness.pay(hold)
    assert await harness.seat_rows(show) == dict.fromkeys(["A1", "A2"], (hold.booking_id, "booked"))
    assert (await harness.find(hold.booking_id)).late
    [event] = await harness.events("booking.confirmed")
    assert event.late


async def test_late_money_before_the_sweep_is_the_same(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(hold)
    await harness.pay(hold)
    assert (await harness.find(hold.booking_id)).late
    assert await harness.seat_rows(show) == dict.fromkeys(["A1", "A2"], (hold.booking_id, "booked"))


async def test_money_for_a_released_hold_gets_the_seats_if_they_are_free(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.release(hold)
    await harness.pay(hold)
    assert (await harness.find(hold.booking_id)).state is BookingState.CONFIRMED


async def test_late_money_goes_back_when_one_seat_is_gone(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2", "A3")
    await harness.expire_holds(hold)
    next_hold = await harness.hold(show, "A3", "A4")
    payment = await harness.pay(hold)
    assert await harness.seat_rows(show) == dict.fromkeys(
        ["A3", "A4"], (next_hold.booking_id, "held")
    )
    [event] = await harness.events("booking.refused")
    assert (event.payment_id, event.reason) == (payment.payment_id, "seats_gone")
    assert event.refund_cents == 3000
    assert (await harness.find(hold.booking_id)).state is BookingState.HELD
    await harness.pay(next_hold)
    assert (await harness.find(next_hold.booking_id)).state is BookingState.CONFIRMED


async def test_of_two_late_payments_for_one_seat_the_first_wins(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    first = await harness.hold(show, "A1", "A2", "A3")
    await harness.expire_holds(first)
    second = await harness.hold(show, "A3", "A4")
    await harness.expire_holds(second)
    third = await harness.hold(show, "B1", "B2")
    await harness.db.run(
        payments.confirm_bookings, [paid(second), paid(first), paid(third), paid(first)]
    )
    assert (await harness.find(second.booking_id)).state is BookingState.CONFIRMED
    assert (await harness.find(third.booking_id)).state is BookingState.CONFIRMED
    assert [event.reason for event in await harness.events("booking.refused")] == ["seats_gone"] * 2
    assert set(await harness.seat_rows(show)) == {"A3", "A4", "B1", "B2"}


async def test_a_late_payment_does_not_take_a_living_hold_in_the_same_batch(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    late = await harness.hold(show, "A1", "A2", "A3")
    await harness.expire_holds(late)
    alive = await harness.hold(show, "A3", "A4")
    await harness.db.run(payments.confirm_bookings, [paid(late), paid(alive)])
    assert (await harness.find(alive.booking_id)).state is BookingState.CONFIRMED
    [event] = await harness.events("booking.refused")
    assert event.hold_id == late.booking_id


@pytest.mark.parametrize("changes", [{"amount_cents": 1999}, {"currency": "USD"}])
async def test_the_wrong_amount_goes_back_and_the_hold_stays(
    harness: BookingHarness, changes: dict[str, object]
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold, **changes)
    [event] = await harness.events("booking.refused")
    assert (event.reason, event.refund_cents, event.currency) == (
        "wrong_amount",
        payment.amount_cents,
        payment.currency,
    )
    assert (await harness.find(hold.booking_id)).status is BookingState.HELD
    await harness.pay(hold)
    assert (await harness.find(hold.booking_id)).state is BookingState.CONFIRMED


async def test_money_for_an_unknown_hold_goes_back(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold, hold_id=clock.new_id())
    await harness.pay(hold, customer_id=clock.new_id())
    assert [event.reason for event in await harness.events("booking.refused")] == [
        "unknown_hold"
    ] * 2


async def test_late_money_for_a_show_that_is_over_goes_back(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(hold)
    await harness.start_in(show, -200)
    await harness.pay(hold)
    assert [event.reason for event in await harness.events("booking.refused")] == ["seats_gone"]


async def test_a_cancelled_show_refunds_its_bookings_and_lets_its_holds_go(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    other_show = await harness.schedule(scheduled())
    booked = await harness.hold(show, "A1", "A2")
    held = await harness.hold(show, "B1", "B2")
    elsewhere = await harness.hold(other_show, "A1", "A2")
    payment = await harness.pay(booked)
    await harness.db.run(show_changes.cancel_shows, [called_off(show)])
    assert await harness.seat_rows(show) == {}
    assert len(await harness.seat_rows(other_show)) == 2
    [event] = await harness.events("booking.cancelled")
    assert isinstance(event, BookingCancelled)
    assert (event.payment_id, event.refund_cents, event.reason) == (
        payment.payment_id,
        2000,
        "show",
    )
    assert event.seats == ["A1", "A2"]
    assert (await harness.find(booked.booking_id)).refund_state == "pending"
    assert (await harness.find(held.booking_id)).state is BookingState.RELEASED
    assert (await harness.find(elsewhere.booking_id)).state is BookingState.HELD
    [released] = await harness.events("seats.released")
    assert (released.hold_id, released.seats) == (held.booking_id, ["B1", "B2"])


async def test_a_show_is_cancelled_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.pay(await harness.hold(show, "A1", "A2"))
    for _ in range(2):
        await harness.db.run(show_changes.cancel_shows, [called_off(show), called_off(show)])
    assert len(await harness.events("booking.cancelled")) == 1


async def test_money_for_a_cancelled_show_goes_back(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.db.run(show_changes.cancel_shows, [called_off(show)])
    await harness.pay(hold)
    assert [event.reason for event in await harness.events("booking.refused")] == ["released_show"]
    assert await harness.seat_rows(show) == {}


async def test_a_customer_cancels_for_a_full_refund(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    cancelled, [event] = await harness.cancel(hold)
    assert (cancelled.state, cancelled.refund_state) == (BookingState.CANCELLED, "pending")
    assert (event.payment_id, event.refund_cents, event.reason) == (
        payment.payment_id,
        2000,
        "customer",
    )
    assert await harness.seat_rows(show) == {}
    again, events = await harness.cancel(hold)
    assert (again.state, events) == (BookingState.CANCELLED, [])
    assert len(await harness.events("booking.cancelled")) == 1


async def test_a_cancelled_booking_is_not_revived_by_a_second_payment(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    await harness.cancel(hold)
    await harness.pay(hold, payment_id=payment.payment_id)
    await harness.pay(hold)
    assert (await harness.find(hold.booking_id)).state is BookingState.CANCELLED
    assert [event.reason for event in await harness.events("booking.refused")] == ["already_paid"]


async def test_cancelling_ends_two_hours_before_the_show(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    await harness.start_in(show, 119)
    with pytest.raises(TooLateToCancel) as refusal:
        await harness.cancel(hold)
    assert refusal.value.members["rule"] == "cancel_deadline"
    await harness.start_in(show, 121)
    cancelled, _ = await harness.cancel(hold)
    assert cancelled.state is BookingState.CANCELLED


async def test_only_a_confirmed_booking_is_cancelled(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    with pytest.raises(NotConfirmed):
        await harness.cancel(hold)


async def test_a_payment_and_a_cancellation_of_the_show_at_once_leave_nothing_unpaid(
    harness: BookingHarness,
) -> None:
    """Whoever comes second sees what the first did: the money goes back either way."""
    for _ in range(5):
        show = await harness.schedule(scheduled())
        hold = await harness.hold(show, "A1", "A2")
        payment = paid(hold)
        await asyncio.gather(
            harness.db.run(payments.confirm_bookings, [payment]),
            harness.db.run(show_changes.cancel_shows, [called_off(show)]),
        )
        emitted = [
            *await harness.events("booking.refused"),
            *await harness.events("booking.cancelled"),
        ]
        back = [event for event in emitted if event.payment_id == payment.payment_id]
        assert [event.refund_cents for event in back] == [2000]
        assert await harness.seat_rows(show) == {}


async def test_a_failed_payment_is_noted_and_the_hold_stays(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.db.run(payments.save_failures, [failed(hold), failed(hold)])
    found = await harness.find(hold.booking_id)
    assert (found.payment_failure, found.status) == ("card_declined", BookingState.HELD)


async def test_refunds_are_counted_until_all_is_back(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    await harness.cancel(hold)
    await harness.db.run(payments.count_refunds, [refunded(payment, 500), refunded(payment, 500)])
    assert (await harness.find(hold.booking_id)).refund_state == "pending"
    await harness.db.run(payments.count_refunds, [refunded(payment, 1000)])
    assert (await harness.find(hold.booking_id)).refund_state == "refunded"


async def test_money_taken_twice_and_given_back_is_not_the_bookings(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    payment = await harness.pay(hold)
    await harness.db.run(payments.count_refunds, [refunded(payment, surplus=True)])
    found = await harness.find(hold.booking_id)
    assert (found.refunded_cents, found.refund_state) == (0, "none")


async def test_a_booking_knows_where_the_ledger_has_it(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    one, other = await harness.hold(show, "A1", "A2"), await harness.hold(show, "A3", "A4")
    for hold in (one, other):
        await harness.pay(hold)
    entries = [
        CommittedEntry(entry_event_id=clock.new_id(), kind=kind, booking_id=booking_id, index=at)
        for at, (kind, booking_id) in enumerate(
            [("payment.success", one.booking_id), ("booking.confirmed", one.booking_id)]
        )
    ]
    emitted = LedgerCommitted(
        event_id=clock.new_id(), occurred_at=clock.now(), height=7, entries=entries
    )
    for _ in range(2):
        await harness.db.run(receipt_store.insert_receipts, [emitted, emitted])
    receipt = BookingReceipt(entries[1].entry_event_id, height=7, index=1)
    assert await harness.db.read(receipt_store.of_booking, one.booking_id) == receipt
    assert await harness.db.read(receipt_store.of_booking, other.booking_id) is None


async def test_a_block_without_confirmed_bookings_costs_no_statement() -> None:
    emitted = LedgerCommitted(
        event_id=clock.new_id(), occurred_at=clock.now(), height=7, entries=[]
    )
    await receipt_store.insert_receipts(
        cast(Transaction, None), [emitted]
    )  # nothing to run one with


async def test_refunds_of_refused_payments_are_noted_with_them(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    second = await harness.pay(hold)
    await harness.db.run(payments.count_refunds, [refunded(second)])
    [refused] = await harness.db.read(payment_store.refused_payments_of, hold.booking_id)
    assert (refused.payment_id, refused.refunded_cents) == (second.payment_id, 2000)
    assert (await harness.find(hold.booking_id)).refunded_cents == 0
