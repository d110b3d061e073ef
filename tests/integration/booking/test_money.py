"""Money arrives: in time, late, twice, wrong, out of order (I5)."""

import asyncio
from typing import cast

import pytest

from cinesync.booking import event_handlers, history_store, receipt_store, service
from cinesync.booking.model import NotConfirmed, SeatTaken, State, TooLateToCancel
from cinesync.booking.receipt_store import BookingReceipt
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.contracts.booking import BookingCancelled
from cinesync.contracts.ledger import CommittedEntry, LedgerCommitted
from tests.support.booking import BoxOffice, called_off, failed, paid, refunded, scheduled

pytestmark = pytest.mark.slow


async def test_a_paid_hold_is_a_booking(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    booking = await office.find(hold.booking_id)
    assert (booking.state, booking.payment_id, booking.late) == (
        State.CONFIRMED,
        payment.payment_id,
        False,
    )
    assert await office.seat_rows(show) == dict.fromkeys(["A1", "A2"], (hold.booking_id, "booked"))
    [event] = await office.told("booking.confirmed")
    assert (event.booking_id, event.seats, event.late) == (hold.booking_id, ["A1", "A2"], False)
    assert (event.total_cents, event.currency) == (2000, "EUR")


async def test_booked_seats_never_run_out(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    await office.run_out(hold)
    await office.db.run(service.sweep_run_out, 0, 10)
    assert len(await office.seat_rows(show)) == 2
    with pytest.raises(SeatTaken):
        await office.hold(show, "A1", "A2")


async def test_an_event_in_two_messages_books_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = paid(hold)
    again = paid(hold, payment_id=payment.payment_id)
    await office.db.run(event_handlers.confirm_bookings, [payment, again])
    await office.db.run(
        event_handlers.confirm_bookings, [paid(hold, payment_id=payment.payment_id)]
    )
    assert len(await office.told("booking.confirmed")) == 1
    assert await office.told("booking.refused") == []


async def test_a_second_payment_goes_back(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    first, second = paid(hold), paid(hold)
    await office.db.run(event_handlers.confirm_bookings, [first, second])
    third = await office.pay(hold)
    assert (await office.find(hold.booking_id)).payment_id == first.payment_id
    refused = await office.told("booking.refused")
    assert [event.payment_id for event in refused] == [second.payment_id, third.payment_id]
    assert {event.reason for event in refused} == {"already_paid"}
    assert {event.refund_cents for event in refused} == {2000}


async def test_a_refused_payment_is_refused_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold, amount_cents=1)
    await office.pay(hold, amount_cents=1, payment_id=payment.payment_id)
    assert len(await office.told("booking.refused")) == 1


async def test_late_money_gets_the_same_seats_if_they_are_free(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.run_out(hold)
    await office.db.run(service.sweep_run_out, 0, 10)
    assert await office.seat_rows(show) == {}
    await office.pay(hold)
    assert await office.seat_rows(show) == dict.fromkeys(["A1", "A2"], (hold.booking_id, "booked"))
    assert (await office.find(hold.booking_id)).late
    [event] = await office.told("booking.confirmed")
    assert event.late


async def test_late_money_before_the_sweep_is_the_same(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.run_out(hold)
    await office.pay(hold)
    assert (await office.find(hold.booking_id)).late
    assert await office.seat_rows(show) == dict.fromkeys(["A1", "A2"], (hold.booking_id, "booked"))


async def test_money_for_a_released_hold_gets_the_seats_if_they_are_free(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.release(hold)
    await office.pay(hold)
    assert (await office.find(hold.booking_id)).state is State.CONFIRMED


async def test_late_money_goes_back_when_one_seat_is_gone(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2", "A3")
    await office.run_out(hold)
    next_hold = await office.hold(show, "A3", "A4")
    payment = await office.pay(hold)
    assert await office.seat_rows(show) == dict.fromkeys(
        ["A3", "A4"], (next_hold.booking_id, "held")
    )
    [event] = await office.told("booking.refused")
    assert (event.payment_id, event.reason) == (payment.payment_id, "seats_gone")
    assert event.refund_cents == 3000
    assert (await office.find(hold.booking_id)).state is State.HELD
    await office.pay(next_hold)
    assert (await office.find(next_hold.booking_id)).state is State.CONFIRMED


async def test_of_two_late_payments_for_one_seat_the_first_wins(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    first = await office.hold(show, "A1", "A2", "A3")
    await office.run_out(first)
    second = await office.hold(show, "A3", "A4")
    await office.run_out(second)
    third = await office.hold(show, "B1", "B2")
    await office.db.run(
        event_handlers.confirm_bookings, [paid(second), paid(first), paid(third), paid(first)]
    )
    assert (await office.find(second.booking_id)).state is State.CONFIRMED
    assert (await office.find(third.booking_id)).state is State.CONFIRMED
    assert [event.reason for event in await office.told("booking.refused")] == ["seats_gone"] * 2
    assert set(await office.seat_rows(show)) == {"A3", "A4", "B1", "B2"}


async def test_a_late_payment_does_not_take_a_living_hold_in_the_same_batch(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled())
    late = await office.hold(show, "A1", "A2", "A3")
    await office.run_out(late)
    alive = await office.hold(show, "A3", "A4")
    await office.db.run(event_handlers.confirm_bookings, [paid(late), paid(alive)])
    assert (await office.find(alive.booking_id)).state is State.CONFIRMED
    [event] = await office.told("booking.refused")
    assert event.hold_id == late.booking_id


@pytest.mark.parametrize("changes", [{"amount_cents": 1999}, {"currency": "USD"}])
async def test_the_wrong_amount_goes_back_and_the_hold_stays(
    office: BoxOffice, changes: dict[str, object]
) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold, **changes)
    [event] = await office.told("booking.refused")
    assert (event.reason, event.refund_cents, event.currency) == (
        "wrong_amount",
        payment.amount_cents,
        payment.currency,
    )
    assert (await office.find(hold.booking_id)).status is State.HELD
    await office.pay(hold)
    assert (await office.find(hold.booking_id)).state is State.CONFIRMED


async def test_money_for_an_unknown_hold_goes_back(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold, hold_id=clock.new_id())
    await office.pay(hold, customer_id=clock.new_id())
    assert [event.reason for event in await office.told("booking.refused")] == ["unknown_hold"] * 2


async def test_late_money_for_a_show_that_is_over_goes_back(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.run_out(hold)
    await office.start_in(show, -200)
    await office.pay(hold)
    assert [event.reason for event in await office.told("booking.refused")] == ["seats_gone"]


async def test_a_cancelled_show_refunds_its_bookings_and_lets_its_holds_go(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled())
    other_show = await office.schedule(scheduled())
    booked = await office.hold(show, "A1", "A2")
    held = await office.hold(show, "B1", "B2")
    elsewhere = await office.hold(other_show, "A1", "A2")
    payment = await office.pay(booked)
    await office.db.run(event_handlers.cancel_shows, [called_off(show)])
    assert await office.seat_rows(show) == {}
    assert len(await office.seat_rows(other_show)) == 2
    [event] = await office.told("booking.cancelled")
    assert isinstance(event, BookingCancelled)
    assert (event.payment_id, event.refund_cents, event.reason) == (
        payment.payment_id,
        2000,
        "show",
    )
    assert event.seats == ["A1", "A2"]
    assert (await office.find(booked.booking_id)).refund_state == "pending"
    assert (await office.find(held.booking_id)).state is State.RELEASED
    assert (await office.find(elsewhere.booking_id)).state is State.HELD
    [released] = await office.told("seats.released")
    assert (released.hold_id, released.seats) == (held.booking_id, ["B1", "B2"])


async def test_a_show_is_cancelled_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.pay(await office.hold(show, "A1", "A2"))
    for _ in range(2):
        await office.db.run(event_handlers.cancel_shows, [called_off(show), called_off(show)])
    assert len(await office.told("booking.cancelled")) == 1


async def test_money_for_a_cancelled_show_goes_back(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.db.run(event_handlers.cancel_shows, [called_off(show)])
    await office.pay(hold)
    assert [event.reason for event in await office.told("booking.refused")] == ["released_show"]
    assert await office.seat_rows(show) == {}


async def test_a_customer_cancels_for_a_full_refund(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    cancelled, [event] = await office.cancel(hold)
    assert (cancelled.state, cancelled.refund_state) == (State.CANCELLED, "pending")
    assert (event.payment_id, event.refund_cents, event.reason) == (
        payment.payment_id,
        2000,
        "customer",
    )
    assert await office.seat_rows(show) == {}
    again, events = await office.cancel(hold)
    assert (again.state, events) == (State.CANCELLED, [])
    assert len(await office.told("booking.cancelled")) == 1


async def test_a_cancelled_booking_is_not_revived_by_a_second_payment(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    await office.cancel(hold)
    await office.pay(hold, payment_id=payment.payment_id)
    await office.pay(hold)
    assert (await office.find(hold.booking_id)).state is State.CANCELLED
    assert [event.reason for event in await office.told("booking.refused")] == ["already_paid"]


async def test_cancelling_ends_two_hours_before_the_show(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    await office.start_in(show, 119)
    with pytest.raises(TooLateToCancel) as refusal:
        await office.cancel(hold)
    assert refusal.value.members["rule"] == "cancel_deadline"
    await office.start_in(show, 121)
    cancelled, _ = await office.cancel(hold)
    assert cancelled.state is State.CANCELLED


async def test_only_a_confirmed_booking_is_cancelled(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    with pytest.raises(NotConfirmed):
        await office.cancel(hold)


async def test_a_payment_and_a_cancellation_of_the_show_at_once_leave_nothing_unpaid(
    office: BoxOffice,
) -> None:
    """Whoever comes second sees what the first did: the money goes back either way."""
    for _ in range(5):
        show = await office.schedule(scheduled())
        hold = await office.hold(show, "A1", "A2")
        payment = paid(hold)
        await asyncio.gather(
            office.db.run(event_handlers.confirm_bookings, [payment]),
            office.db.run(event_handlers.cancel_shows, [called_off(show)]),
        )
        told = [*await office.told("booking.refused"), *await office.told("booking.cancelled")]
        back = [event for event in told if event.payment_id == payment.payment_id]
        assert [event.refund_cents for event in back] == [2000]
        assert await office.seat_rows(show) == {}


async def test_a_failed_payment_is_noted_and_the_hold_stays(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.db.run(event_handlers.note_failures, [failed(hold), failed(hold)])
    found = await office.find(hold.booking_id)
    assert (found.payment_failure, found.status) == ("card_declined", State.HELD)


async def test_refunds_are_counted_until_all_is_back(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    await office.cancel(hold)
    await office.db.run(
        event_handlers.note_refunds, [refunded(payment, 500), refunded(payment, 500)]
    )
    assert (await office.find(hold.booking_id)).refund_state == "pending"
    await office.db.run(event_handlers.note_refunds, [refunded(payment, 1000)])
    assert (await office.find(hold.booking_id)).refund_state == "refunded"


async def test_money_taken_twice_and_given_back_is_not_the_bookings(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    payment = await office.pay(hold)
    await office.db.run(event_handlers.note_refunds, [refunded(payment, surplus=True)])
    found = await office.find(hold.booking_id)
    assert (found.refunded_cents, found.refund_state) == (0, "none")


async def test_a_booking_knows_where_the_ledger_has_it(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    one, other = await office.hold(show, "A1", "A2"), await office.hold(show, "A3", "A4")
    for hold in (one, other):
        await office.pay(hold)
    entries = [
        CommittedEntry(entry_event_id=clock.new_id(), kind=kind, booking_id=booking_id, index=at)
        for at, (kind, booking_id) in enumerate(
            [("payment.success", one.booking_id), ("booking.confirmed", one.booking_id)]
        )
    ]
    told = LedgerCommitted(
        event_id=clock.new_id(), occurred_at=clock.now(), height=7, entries=entries
    )
    for _ in range(2):
        await office.db.run(receipt_store.insert, [told, told])
    receipt = BookingReceipt(entries[1].entry_event_id, height=7, index=1)
    assert await office.db.read(receipt_store.of_booking, one.booking_id) == receipt
    assert await office.db.read(receipt_store.of_booking, other.booking_id) is None


async def test_a_block_without_confirmed_bookings_costs_no_statement() -> None:
    told = LedgerCommitted(event_id=clock.new_id(), occurred_at=clock.now(), height=7, entries=[])
    await receipt_store.insert(cast(Transaction, None), [told])  # nothing to run one with


async def test_refunds_of_refused_payments_are_noted_with_them(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    second = await office.pay(hold)
    await office.db.run(event_handlers.note_refunds, [refunded(second)])
    [refused] = await office.db.read(history_store.refusals_of, hold.booking_id)
    assert (refused.payment_id, refused.refunded_cents) == (second.payment_id, 2000)
    assert (await office.find(hold.booking_id)).refunded_cents == 0
