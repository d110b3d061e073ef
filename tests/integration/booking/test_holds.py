"""Holding seats: all or none, once, by the database's clock."""

import asyncio

import pytest
from msgspec.structs import replace

from cinesync.booking import service
from cinesync.booking.model import (
    BookingState,
    ExtensionsUsedUp,
    GuestHoldsAlready,
    HoldIsOver,
    HoldSeats,
    NotTogether,
    SalesClosed,
    SeatTaken,
    ShowIsOff,
    Terms,
    TooManyHeld,
    UnknownBooking,
    UnknownSeat,
    UnknownShow,
)
from cinesync.booking.service import Held, HoldResult
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis import clock
from tests.support.booking import (
    BookingHarness,
    called_off,
    changed,
    hold_command,
    scheduled,
    seats_of,
)

pytestmark = pytest.mark.slow


async def test_a_hold_keeps_its_seats_at_the_price_of_their_zone(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "B8", "B7", "C8", "C7")
    assert hold.seat_names == ["B8", "B7", "C8", "C7"]
    assert (hold.total_cents, hold.currency, hold.status) == (5000, "EUR", BookingState.HELD)
    assert (hold.expires_at - hold.read_at).total_seconds() == pytest.approx(600, abs=30)
    rows = await harness.seat_rows(show)
    assert rows == dict.fromkeys(hold.seat_names, (hold.booking_id, "held"))
    [event] = await harness.events("seats.held")
    assert (event.hold_id, event.seats) == (hold.booking_id, hold.seat_names)
    assert event.expires_at == hold.expires_at


async def test_a_taken_seat_is_named_and_alternatives_are_offered(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.hold(show, "B1", "B2")
    with pytest.raises(SeatTaken) as refusal:
        await harness.hold(show, "B2", "B3")
    assert refusal.value.members["seats"] == ["B2"]
    assert ("B3", "B4") in refusal.value.members["alternatives"]
    assert len(await harness.seat_rows(show)) == 2


async def test_in_one_batch_the_first_to_arrive_wins(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    first, second, third = await harness.try_hold(
        hold_command(show, "A1", "A2"),
        hold_command(show, "A2", "A3"),
        hold_command(show, "A3", "A4"),
    )
    assert seats_of(first) == ["A1", "A2"]
    assert isinstance(second, SeatTaken)
    assert seats_of(third) == ["A3", "A4"]


async def test_best_seats_in_one_batch_are_never_the_same(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    results = await harness.try_hold(*(hold_command(show, best=2) for _ in range(13)))
    held = [seat for result in results if isinstance(result, Held) for seat in seats_of(result)]
    assert len(held) == len(set(held)) == 24
    assert isinstance(results[12], NotTogether)


async def test_a_party_that_cannot_sit_together_is_offered_seats_apart(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    for name in "ABC":
        await harness.hold(show, f"{name}3", f"{name}4", f"{name}5", f"{name}6")
    with pytest.raises(NotTogether) as refusal:
        await harness.hold(show, best=3)
    [apart] = refusal.value.members["alternatives"]
    assert len(apart) == 3
    assert (await harness.hold(show, *apart)).seat_names == list(apart)


async def test_best_can_be_asked_for_in_a_zone(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    [result] = await harness.try_hold(hold_command(show, best=2, zone="premium"))
    assert seats_of(result) == ["C3", "C4"]
    [unknown] = await harness.try_hold(hold_command(show, best=2, zone="royal"))
    assert isinstance(unknown, UnknownSeat)


async def test_seats_of_a_zone_without_a_price_are_not_sold(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(prices_cents={"standard": 1000}))
    with pytest.raises(SeatTaken):
        await harness.hold(show, "C1", "C2")
    assert (await harness.hold(show, best=2)).seat_names[0].startswith("B")


async def test_a_batch_that_is_refused_whole_writes_nothing(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.hold(show, "A1", "A2")

    async def attempt() -> None:
        await harness.db.run(
            service.hold_seats, [hold_command(show, "A1", "A2")], harness.show_cache, harness.terms
        )

    with pytest.raises(service.BatchRefused) as refused:
        await attempt()
    assert isinstance(refused.value.results[0], SeatTaken)


async def test_a_hold_that_ran_out_frees_its_seats_at_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    first = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(first)
    second = await harness.hold(show, "A1", "A2")
    assert (await harness.seat_rows(show))["A1"] == (second.booking_id, "held")
    assert (await harness.find(first.booking_id)).status is BookingState.EXPIRED


async def test_two_customers_never_hold_one_seat(harness: BookingHarness) -> None:
    """Two hundred want eight seats at once, each in a transaction of their own."""
    show = await harness.schedule(scheduled())
    seats = [f"A{number}" for number in range(1, 9)]
    pairs = [hold_command(show, *seats[at : at + 2]) for at in (0, 2, 4, 6)] * 50
    commands = [replace(pair, hold_id=clock.new_id(), customer_id=clock.new_id()) for pair in pairs]
    gate = asyncio.Semaphore(8)

    async def buy(one: HoldSeats) -> HoldResult:
        async with gate:
            [result] = await harness.try_hold(one)
            return result

    results = await asyncio.gather(*(buy(one) for one in commands))
    winners = [result for result in results if isinstance(result, Held)]
    assert sorted(seat for winner in winners for seat in seats_of(winner)) == seats
    assert all(isinstance(result, Held | SeatTaken) for result in results)


async def test_a_customer_cannot_sit_on_more_than_so_many_seats(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    harness.terms = Terms(held_seats_max=3)
    customer_id = clock.new_id()
    hold = await harness.hold(show, "A1", "A2", customer_id=customer_id)
    with pytest.raises(TooManyHeld) as refusal:
        await harness.hold(show, "B1", "B2", customer_id=customer_id)
    assert refusal.value.members["rule"] == "held_limit"
    await harness.pay(hold)
    await harness.hold(show, "B1", "B2", customer_id=customer_id)


async def test_the_limit_counts_within_a_batch(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    harness.terms = Terms(held_seats_max=3)
    customer_id = clock.new_id()
    results = await harness.try_hold(
        hold_command(show, "A1", "A2", customer_id=customer_id),
        hold_command(show, "B1", "B2", customer_id=customer_id),
    )
    assert isinstance(results[1], TooManyHeld)


async def test_a_guest_holds_seats_once_at_a_time(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    guest = clock.new_id()
    await harness.hold(show, "A1", "A2", customer_id=guest, is_guest=True)
    with pytest.raises(GuestHoldsAlready) as refusal:
        await harness.hold(show, "B1", "B2", customer_id=guest, is_guest=True)
    assert refusal.value.members["rule"] == "guest"


async def test_a_guest_may_buy_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    guest = clock.new_id()
    await harness.pay(await harness.hold(show, "A1", "A2", customer_id=guest, is_guest=True))
    await harness.release(await harness.hold(show, "B1", "B2", customer_id=guest, is_guest=True))
    await harness.hold(show, "C1", "C2", customer_id=guest, is_guest=True)


async def test_a_guest_whose_hold_ran_out_may_choose_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    guest = clock.new_id()
    [first] = await harness.try_hold(
        hold_command(show, "A1", "A2", customer_id=guest, is_guest=True)
    )
    assert isinstance(first, Held)
    await harness.expire_holds(await harness.find(first.allocation.hold.hold_id))
    [again] = await harness.try_hold(
        hold_command(show, "B1", "B2", customer_id=guest, is_guest=True)
    )
    assert isinstance(again, Held)


async def test_nothing_is_held_of_an_unknown_show(harness: BookingHarness) -> None:
    with pytest.raises(UnknownShow):
        await harness.hold(scheduled(), "A1")


async def test_sales_close_some_minutes_after_the_start(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=-14))
    await harness.hold(show, "A1", "A2")
    await harness.start_in(show, -16)
    with pytest.raises(SalesClosed):
        await harness.hold(show, "B1", "B2")


async def test_a_cancelled_show_is_not_sold(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.db.run(show_changes.cancel_shows, [called_off(show)])
    with pytest.raises(ShowIsOff):
        await harness.hold(show, "A1", "A2")


async def test_a_hold_keeps_its_price_when_the_show_changes(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    before = await harness.hold(show, "A1", "A2")
    await harness.db.run(
        show_changes.change_shows, [changed(show, 1, prices_cents={"standard": 1300})]
    )
    after = await harness.hold(show, "A3", "A4")
    assert (before.total_cents, after.total_cents) == (2000, 2600)
    assert (await harness.find(before.booking_id)).total_cents == 2000


async def test_released_seats_are_free_at_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.release(hold)
    assert await harness.seat_rows(show) == {}
    assert (await harness.find(hold.booking_id)).state is BookingState.RELEASED
    [event] = await harness.events("seats.released")
    assert event.seats == ["A1", "A2"]


async def test_releasing_twice_is_releasing_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    for _ in range(2):
        await harness.release(hold)
    assert len(await harness.events("seats.released")) == 1


async def test_releasing_an_old_hold_leaves_the_next_holder_alone(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    old = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(old)
    new = await harness.hold(show, "A1", "A2")
    await harness.release(old)
    assert (await harness.seat_rows(show))["A1"] == (new.booking_id, "held")
    assert await harness.events("seats.released") == []


async def test_a_paid_hold_is_not_released(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.pay(hold)
    with pytest.raises(HoldIsOver):
        await harness.release(hold)


async def test_anothers_hold_does_not_exist(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    stranger = clock.new_id()
    with pytest.raises(UnknownBooking):
        await harness.db.run(service.release_hold, hold.booking_id, stranger)
    with pytest.raises(UnknownBooking):
        await harness.db.run(service.extend_hold, hold.booking_id, stranger, harness.terms)
    with pytest.raises(UnknownBooking):
        await harness.cancel(replace(hold, customer_id=stranger))
    with pytest.raises(UnknownBooking):
        await harness.db.read(service.find_own, hold.booking_id, stranger)


async def _almost_over(harness: BookingHarness, booking_id: object) -> None:
    for table, column in (("bookings", "expires_at"), ("booking_seats", "held_until")):
        await harness.execute(
            f"UPDATE {table} SET {column} = now() + interval '5 seconds' WHERE booking_id = :id",
            id=booking_id,
        )


async def test_a_hold_is_extended_so_many_times(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    for times in (1, 2):
        await _almost_over(harness, hold.booking_id)
        extended, [event] = await harness.extend(hold)
        assert extended.extensions == times
        assert extended.expires_at == event.expires_at
        assert (extended.expires_at - extended.read_at).total_seconds() == 600
    found = await harness.find(hold.booking_id)
    assert (found.expires_at, found.extensions) == (extended.expires_at, 2)
    with pytest.raises(ExtensionsUsedUp):
        await harness.extend(hold)


async def test_extended_seats_stay_taken(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await _almost_over(harness, hold.booking_id)
    await harness.extend(hold)
    await harness.execute("UPDATE booking_seats SET held_until = held_until - interval '9 minutes'")
    with pytest.raises(SeatTaken):
        await harness.hold(show, "A1", "A2")


async def test_an_extension_that_gains_nothing_is_not_counted(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=5))
    hold = await harness.hold(show, "A1", "A2")
    same, events = await harness.extend(hold)
    assert (same.extensions, same.expires_at, events) == (0, hold.expires_at, [])


async def test_a_hold_is_not_extended_beyond_the_start(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=5))
    hold = await harness.hold(show, "A1", "A2")
    await _almost_over(harness, hold.booking_id)
    extended, _ = await harness.extend(hold)
    assert extended.expires_at == show.starts_at


async def test_a_hold_that_ran_out_is_not_extended(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(hold)
    with pytest.raises(HoldIsOver):
        await harness.extend(hold)


async def test_a_hold_that_lost_a_seat_is_not_extended(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await _almost_over(harness, hold.booking_id)
    await harness.execute("DELETE FROM booking_seats WHERE seat = 'A1'")
    with pytest.raises(HoldIsOver):
        await harness.extend(hold)


async def test_the_sweep_tidies_only_what_ran_out(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    old = await harness.hold(show, "A1", "A2")
    alive = await harness.hold(show, "B1", "B2")
    await harness.expire_holds(old)
    assert await harness.db.run(service.expire_holds, 60, 10) == 1
    assert await harness.db.run(service.expire_holds, 60, 10) == 0
    assert (await harness.find(old.booking_id)).state is BookingState.EXPIRED
    assert set(await harness.seat_rows(show)) == {"B1", "B2"}
    assert (await harness.find(alive.booking_id)).state is BookingState.HELD


async def test_the_sweep_works_in_bounded_batches_and_spares_the_next_holder(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    for seats in (("A1", "A2"), ("A3", "A4"), ("A5", "A6")):
        await harness.expire_holds(await harness.hold(show, *seats))
    new = await harness.hold(show, "A1", "A2")
    assert await harness.db.run(service.expire_holds, 60, 2) == 2
    assert await harness.db.run(service.expire_holds, 60, 2) == 1
    rows = await harness.seat_rows(show)
    assert rows == dict.fromkeys(["A1", "A2"], (new.booking_id, "held"))
