"""Holding seats: all or none, once, by the database's clock."""

import asyncio

import pytest
from msgspec.structs import replace

from cinesync.booking import event_handlers, service
from cinesync.booking.model import (
    ExtensionsUsedUp,
    GuestHoldsAlready,
    HoldIsOver,
    HoldSeats,
    NotTogether,
    SalesClosed,
    SeatTaken,
    ShowIsOff,
    State,
    Terms,
    TooManyHeld,
    UnknownBooking,
    UnknownSeat,
    UnknownShow,
)
from cinesync.booking.service import Held, HoldResult
from cinesync.chassis import clock
from tests.support.booking import BoxOffice, called_off, changed, scheduled, seats_of, wish

pytestmark = pytest.mark.slow


async def test_a_hold_keeps_its_seats_at_the_price_of_their_zone(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "B8", "B7", "C8", "C7")
    assert hold.seat_names == ["B8", "B7", "C8", "C7"]
    assert (hold.total_cents, hold.currency, hold.status) == (5000, "EUR", State.HELD)
    assert (hold.expires_at - hold.read_at).total_seconds() == pytest.approx(600, abs=30)
    rows = await office.seat_rows(show)
    assert rows == dict.fromkeys(hold.seat_names, (hold.booking_id, "held"))
    [event] = await office.told("seats.held")
    assert (event.hold_id, event.seats) == (hold.booking_id, hold.seat_names)
    assert event.expires_at == hold.expires_at


async def test_a_taken_seat_is_named_and_alternatives_are_offered(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.hold(show, "B1", "B2")
    with pytest.raises(SeatTaken) as refusal:
        await office.hold(show, "B2", "B3")
    assert refusal.value.members["seats"] == ["B2"]
    assert ("B3", "B4") in refusal.value.members["alternatives"]
    assert len(await office.seat_rows(show)) == 2


async def test_in_one_batch_the_first_to_arrive_wins(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    first, second, third = await office.try_hold(
        wish(show, "A1", "A2"), wish(show, "A2", "A3"), wish(show, "A3", "A4")
    )
    assert seats_of(first) == ["A1", "A2"]
    assert isinstance(second, SeatTaken)
    assert seats_of(third) == ["A3", "A4"]


async def test_best_seats_in_one_batch_are_never_the_same(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    results = await office.try_hold(*(wish(show, best=2) for _ in range(13)))
    held = [seat for result in results if isinstance(result, Held) for seat in seats_of(result)]
    assert len(held) == len(set(held)) == 24
    assert isinstance(results[12], NotTogether)


async def test_a_party_that_cannot_sit_together_is_offered_seats_apart(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    for name in "ABC":
        await office.hold(show, f"{name}3", f"{name}4", f"{name}5", f"{name}6")
    with pytest.raises(NotTogether) as refusal:
        await office.hold(show, best=3)
    [apart] = refusal.value.members["alternatives"]
    assert len(apart) == 3
    assert (await office.hold(show, *apart)).seat_names == list(apart)


async def test_best_can_be_asked_for_in_a_zone(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    [result] = await office.try_hold(wish(show, best=2, zone="premium"))
    assert seats_of(result) == ["C3", "C4"]
    [unknown] = await office.try_hold(wish(show, best=2, zone="royal"))
    assert isinstance(unknown, UnknownSeat)


async def test_seats_of_a_zone_without_a_price_are_not_sold(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(prices_cents={"standard": 1000}))
    with pytest.raises(SeatTaken):
        await office.hold(show, "C1", "C2")
    assert (await office.hold(show, best=2)).seat_names[0].startswith("B")


async def test_a_batch_that_is_refused_whole_writes_nothing(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.hold(show, "A1", "A2")

    async def attempt() -> None:
        await office.db.run(service.hold_seats, [wish(show, "A1", "A2")], office.kept, office.terms)

    with pytest.raises(service.NothingHeld) as refused:
        await attempt()
    assert isinstance(refused.value.results[0], SeatTaken)


async def test_a_hold_that_ran_out_frees_its_seats_at_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    first = await office.hold(show, "A1", "A2")
    await office.run_out(first)
    second = await office.hold(show, "A1", "A2")
    assert (await office.seat_rows(show))["A1"] == (second.booking_id, "held")
    assert (await office.find(first.booking_id)).status is State.EXPIRED


async def test_two_customers_never_hold_one_seat(office: BoxOffice) -> None:
    """Two hundred want eight seats at once, each in a transaction of their own."""
    show = await office.schedule(scheduled())
    seats = [f"A{number}" for number in range(1, 9)]
    pairs = [wish(show, *seats[at : at + 2]) for at in (0, 2, 4, 6)] * 50
    wishes = [replace(pair, hold_id=clock.new_id(), customer_id=clock.new_id()) for pair in pairs]
    gate = asyncio.Semaphore(8)

    async def buy(one: HoldSeats) -> HoldResult:
        async with gate:
            [result] = await office.try_hold(one)
            return result

    results = await asyncio.gather(*(buy(one) for one in wishes))
    winners = [result for result in results if isinstance(result, Held)]
    assert sorted(seat for winner in winners for seat in seats_of(winner)) == seats
    assert all(isinstance(result, Held | SeatTaken) for result in results)


async def test_a_customer_cannot_sit_on_more_than_so_many_seats(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    office.terms = Terms(held_seats_max=3)
    customer_id = clock.new_id()
    hold = await office.hold(show, "A1", "A2", customer_id=customer_id)
    with pytest.raises(TooManyHeld) as refusal:
        await office.hold(show, "B1", "B2", customer_id=customer_id)
    assert refusal.value.members["rule"] == "held_limit"
    await office.pay(hold)
    await office.hold(show, "B1", "B2", customer_id=customer_id)


async def test_the_limit_counts_within_a_batch(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    office.terms = Terms(held_seats_max=3)
    customer_id = clock.new_id()
    results = await office.try_hold(
        wish(show, "A1", "A2", customer_id=customer_id),
        wish(show, "B1", "B2", customer_id=customer_id),
    )
    assert isinstance(results[1], TooManyHeld)


async def test_a_guest_holds_seats_once_at_a_time(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    guest = clock.new_id()
    await office.hold(show, "A1", "A2", customer_id=guest, is_guest=True)
    with pytest.raises(GuestHoldsAlready) as refusal:
        await office.hold(show, "B1", "B2", customer_id=guest, is_guest=True)
    assert refusal.value.members["rule"] == "guest"


async def test_a_guest_may_buy_again(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    guest = clock.new_id()
    await office.pay(await office.hold(show, "A1", "A2", customer_id=guest, is_guest=True))
    await office.release(await office.hold(show, "B1", "B2", customer_id=guest, is_guest=True))
    await office.hold(show, "C1", "C2", customer_id=guest, is_guest=True)


async def test_a_guest_whose_hold_ran_out_may_choose_again(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    guest = clock.new_id()
    [first] = await office.try_hold(wish(show, "A1", "A2", customer_id=guest, is_guest=True))
    assert isinstance(first, Held)
    await office.run_out(await office.find(first.pick.hold.hold_id))
    [again] = await office.try_hold(wish(show, "B1", "B2", customer_id=guest, is_guest=True))
    assert isinstance(again, Held)


async def test_nothing_is_held_of_an_unknown_show(office: BoxOffice) -> None:
    with pytest.raises(UnknownShow):
        await office.hold(scheduled(), "A1")


async def test_sales_close_some_minutes_after_the_start(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=-14))
    await office.hold(show, "A1", "A2")
    await office.start_in(show, -16)
    with pytest.raises(SalesClosed):
        await office.hold(show, "B1", "B2")


async def test_a_cancelled_show_is_not_sold(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.db.run(event_handlers.cancel_shows, [called_off(show)])
    with pytest.raises(ShowIsOff):
        await office.hold(show, "A1", "A2")


async def test_a_hold_keeps_its_price_when_the_show_changes(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    before = await office.hold(show, "A1", "A2")
    await office.db.run(
        event_handlers.change_shows, [changed(show, 1, prices_cents={"standard": 1300})]
    )
    after = await office.hold(show, "A3", "A4")
    assert (before.total_cents, after.total_cents) == (2000, 2600)
    assert (await office.find(before.booking_id)).total_cents == 2000


async def test_released_seats_are_free_at_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.release(hold)
    assert await office.seat_rows(show) == {}
    assert (await office.find(hold.booking_id)).state is State.RELEASED
    [event] = await office.told("seats.released")
    assert event.seats == ["A1", "A2"]


async def test_releasing_twice_is_releasing_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    for _ in range(2):
        await office.release(hold)
    assert len(await office.told("seats.released")) == 1


async def test_releasing_an_old_hold_leaves_the_next_holder_alone(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    old = await office.hold(show, "A1", "A2")
    await office.run_out(old)
    new = await office.hold(show, "A1", "A2")
    await office.release(old)
    assert (await office.seat_rows(show))["A1"] == (new.booking_id, "held")
    assert await office.told("seats.released") == []


async def test_a_paid_hold_is_not_released(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.pay(hold)
    with pytest.raises(HoldIsOver):
        await office.release(hold)


async def test_anothers_hold_does_not_exist(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    stranger = clock.new_id()
    with pytest.raises(UnknownBooking):
        await office.db.run(service.release_hold, hold.booking_id, stranger)
    with pytest.raises(UnknownBooking):
        await office.db.run(service.extend_hold, hold.booking_id, stranger, office.terms)
    with pytest.raises(UnknownBooking):
        await office.cancel(replace(hold, customer_id=stranger))
    with pytest.raises(UnknownBooking):
        await office.db.read(service.find_own, hold.booking_id, stranger)


async def _almost_over(office: BoxOffice, booking_id: object) -> None:
    for table, column in (("bookings", "expires_at"), ("booking_seats", "held_until")):
        await office.execute(
            f"UPDATE {table} SET {column} = now() + interval '5 seconds' WHERE booking_id = :id",
            id=booking_id,
        )


async def test_a_hold_is_extended_so_many_times(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    for times in (1, 2):
        await _almost_over(office, hold.booking_id)
        extended, [event] = await office.extend(hold)
        assert extended.extensions == times
        assert extended.expires_at == event.expires_at
        assert (extended.expires_at - extended.read_at).total_seconds() == 600
    found = await office.find(hold.booking_id)
    assert (found.expires_at, found.extensions) == (extended.expires_at, 2)
    with pytest.raises(ExtensionsUsedUp):
        await office.extend(hold)


async def test_extended_seats_stay_taken(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await _almost_over(office, hold.booking_id)
    await office.extend(hold)
    await office.execute("UPDATE booking_seats SET held_until = held_until - interval '9 minutes'")
    with pytest.raises(SeatTaken):
        await office.hold(show, "A1", "A2")


async def test_an_extension_that_gains_nothing_is_not_counted(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=5))
    hold = await office.hold(show, "A1", "A2")
    same, events = await office.extend(hold)
    assert (same.extensions, same.expires_at, events) == (0, hold.expires_at, [])


async def test_a_hold_is_not_extended_beyond_the_start(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=5))
    hold = await office.hold(show, "A1", "A2")
    await _almost_over(office, hold.booking_id)
    extended, _ = await office.extend(hold)
    assert extended.expires_at == show.starts_at


async def test_a_hold_that_ran_out_is_not_extended(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await office.run_out(hold)
    with pytest.raises(HoldIsOver):
        await office.extend(hold)


async def test_a_hold_that_lost_a_seat_is_not_extended(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    await _almost_over(office, hold.booking_id)
    await office.execute("DELETE FROM booking_seats WHERE seat = 'A1'")
    with pytest.raises(HoldIsOver):
        await office.extend(hold)


async def test_the_sweep_tidies_only_what_ran_out(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    old = await office.hold(show, "A1", "A2")
    alive = await office.hold(show, "B1", "B2")
    await office.run_out(old)
    assert await office.db.run(service.sweep_run_out, 60, 10) == 1
    assert await office.db.run(service.sweep_run_out, 60, 10) == 0
    assert (await office.find(old.booking_id)).state is State.EXPIRED
    assert set(await office.seat_rows(show)) == {"B1", "B2"}
    assert (await office.find(alive.booking_id)).state is State.HELD


async def test_the_sweep_works_in_bounded_batches_and_spares_the_next_holder(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled())
    for seats in (("A1", "A2"), ("A3", "A4"), ("A5", "A6")):
        await office.run_out(await office.hold(show, *seats))
    new = await office.hold(show, "A1", "A2")
    assert await office.db.run(service.sweep_run_out, 60, 2) == 2
    assert await office.db.run(service.sweep_run_out, 60, 2) == 1
    rows = await office.seat_rows(show)
    assert rows == dict.fromkeys(["A1", "A2"], (new.booking_id, "held"))
