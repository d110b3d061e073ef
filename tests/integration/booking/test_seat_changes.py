"""Changing the seats of a hold: all or none, the old ones held until the new ones are won."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from cinesync.booking.model import (
    AddressHoldsTooMany,
    Booking,
    BookingError,
    BookingState,
    ExpectedOffer,
    GapLeft,
    HoldIsOver,
    SaleChanged,
    SeatSelection,
    SeatTaken,
    Terms,
    TooManyHeld,
    UnknownBooking,
)
from cinesync.booking.seat_changes import (
    ChangedHold,
    ChangeResult,
    ChangeSeats,
    HoldIsChanging,
    change_seats,
)
from cinesync.booking.seatmap.hub import SeatMapHub
from cinesync.booking.service import BatchRefused
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, text
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.support.booking import BookingHarness, changed, hold_command, scheduled


def change(
    hold: Booking, *seats: str, best: int = 0, zone: str | None = None, **wanted: Any
) -> ChangeSeats:
    fields: dict[str, Any] = {
        "hold_id": hold.booking_id,
        "customer_id": hold.customer_id,
        "is_guest": False,
        "email_key": hold.customer_id,
        "selection": SeatSelection(seats, best, zone),
    }
    return ChangeSeats(**(fields | wanted))


async def try_change(harness: BookingHarness, *changes: ChangeSeats) -> list[ChangeResult]:
    try:
        return await harness.db.run(change_seats, changes, harness.show_cache, harness.terms)
    except BatchRefused as refused:
        return refused.results


async def do_change(harness: BookingHarness, hold: Booking, *seats: str, **wanted: Any) -> Booking:
    """Raises why not."""
    [result] = await try_change(harness, change(hold, *seats, **wanted))
    if isinstance(result, BookingError):
        raise result
    found = await harness.find(hold.booking_id)
    assert (found.seats, found.total_cents) == (result.booking.seats, result.booking.total_cents)
    return found


async def test_other_seats_replace_the_old_ones_and_the_time_goes_on(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await _shorten(harness, hold)
    hold = await harness.find(hold.booking_id)
    now = await do_change(harness, hold, "A1", "C1", "C2")
    assert now.seat_names == ["A1", "C1", "C2"]
    assert now.total_cents == 4000
    assert (now.expires_at, now.extensions) == (hold.expires_at, 0)
    mine = (hold.booking_id, "held")
    assert await harness.seat_rows(show) == dict.fromkeys(["A1", "C1", "C2"], mine)
    assert await _untils(harness) == {hold.expires_at}
    [_, held] = await harness.events("seats.held")
    assert (held.seats, held.expires_at) == (now.seat_names, hold.expires_at)
    [released] = await harness.events("seats.released")
    assert (released.seats, released.hold_goes_on) == (["A2"], True)


async def test_the_best_seats_may_be_asked_for_and_its_own_are_among_them(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, best=2)
    assert (await do_change(harness, hold, best=2)).seat_names == hold.seat_names
    bigger = await do_change(harness, hold, best=4)
    assert set(hold.seat_names) < set(bigger.seat_names)
    smaller = await do_change(harness, bigger, best=1)
    assert len(await harness.seat_rows(show)) == len(smaller.seat_names) == 1


async def test_when_one_new_seat_is_gone_the_old_ones_stay(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.hold(show, "B1", "B2")
    with pytest.raises(SeatTaken) as refusal:
        await do_change(harness, hold, "B2", "B3")
    assert refusal.value.members["seats"] == ["B2"]
    rows = await harness.seat_rows(show)
    assert set(rows) == {"A1", "A2", "B1", "B2"}
    assert (await harness.find(hold.booking_id)).seat_names == ["A1", "A2"]


async def test_a_race_for_the_new_seats_has_one_winner_and_nobody_loses_the_old(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    holds = [await harness.hold(show, f"{name}1", f"{name}2") for name in "AB"]
    answers = await asyncio.gather(*(try_change(harness, change(one, "C3", "C4")) for one in holds))
    results = [result for [result] in answers]
    [winner] = [result for result in results if isinstance(result, ChangedHold)]
    [loser] = [result for result in results if isinstance(result, SeatTaken)]
    assert loser.members["seats"] == ["C3", "C4"]
    rows = await harness.seat_rows(show)
    assert rows["C3"] == (winner.booking.booking_id, "held")
    assert len(rows) == 4


async def test_in_one_batch_seats_that_are_given_back_are_not_given_away_yet(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    one, two = [await harness.hold(show, f"{name}1", f"{name}2") for name in "AB"]
    first, second = await try_change(harness, change(one, "C1", "C2"), change(two, "A1", "A2"))
    assert isinstance(first, ChangedHold)
    assert isinstance(second, SeatTaken)
    assert (await do_change(harness, two, "A1", "A2")).seat_names == ["A1", "A2"]


async def test_a_second_change_in_one_batch_is_told_to_look_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    strangers = change(hold, "C1", "C2", customer_id=clock.new_id())
    results = await try_change(
        harness, strangers, change(hold, "B1", "B2"), change(hold, "B3", "B4")
    )
    assert [type(result) for result in results] == [UnknownBooking, ChangedHold, HoldIsChanging]
    assert set(await harness.seat_rows(show)) == {"B1", "B2"}


async def test_the_rules_of_seating_hold_and_its_own_seats_count_as_free(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    with pytest.raises(GapLeft):
        await do_change(harness, hold, "A2", "A3")
    assert (await do_change(harness, hold, "A3", "A4")).seat_names == ["A3", "A4"]


async def test_a_seat_that_stays_does_not_become_dearer(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    await harness.db.run(
        show_changes.change_shows, [changed(show, 1, prices_cents={"standard": 1300})]
    )
    now = await do_change(harness, hold, "A1", "A2", "A3")
    assert [priced.price_cents for priced in now.seats] == [1000, 1000, 1300]
    assert now.total_cents == 3300
    await harness.db.run(
        show_changes.change_shows, [changed(show, 2, prices_cents={"standard": 900})]
    )
    assert (await do_change(harness, hold, "A1", "A2", "A3")).total_cents == 2700


async def test_nobody_pays_more_for_other_seats_than_they_saw(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    with pytest.raises(SaleChanged):
        await do_change(harness, hold, "C1", "C2", seen=ExpectedOffer(total_cents=2000))
    await do_change(harness, hold, "C1", "C2", seen=ExpectedOffer(total_cents=3000))


async def test_more_seats_count_against_the_limits_and_the_same_number_does_not(
    harness: BookingHarness,
) -> None:
    harness.terms = Terms(held_seats_max=4, address_show_seats_max=6)
    show = await harness.schedule(scheduled())
    address_key = clock.new_id()
    hold = await harness.hold(show, "A1", "A2", "A3", "A4", address_key=address_key)
    await do_change(harness, hold, "B1", "B2", "B3", "B4", address_key=address_key)
    with pytest.raises(TooManyHeld):
        await do_change(harness, hold, "B1", "B2", "B3", "B4", "B5", address_key=address_key)
    other = await harness.hold(show, "C1", "C2", address_key=address_key)
    with pytest.raises(AddressHoldsTooMany):
        await do_change(harness, other, "C1", "C2", "C3", address_key=address_key)


async def test_a_hold_that_is_over_or_anothers_is_not_changed(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    over = await harness.hold(show, "A1", "A2")
    await harness.expire_holds(over)
    paid = await harness.hold(show, "B1", "B2")
    await harness.pay(paid)
    results = await try_change(
        harness,
        change(over, "C1", "C2"),
        change(paid, "C1", "C2"),
        change(paid, "C1", "C2", customer_id=clock.new_id()),
        ChangeSeats(
            hold_id=clock.new_id(), customer_id=clock.new_id(), is_guest=False,
            email_key=clock.new_id(), selection=SeatSelection(("C1", "C2")),
        ),
    )  # fmt: skip
    assert [type(result) for result in results] == [
        HoldIsOver, HoldIsOver, UnknownBooking, UnknownBooking
    ]  # fmt: skip
    assert "C1" not in await harness.seat_rows(show)


async def test_a_changed_hold_is_paid_for_and_released_as_any_other(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    first, second = await harness.hold(show, "A1", "A2"), await harness.hold(show, "B1", "B2")
    await harness.pay(await do_change(harness, first, "C1", "C2"))
    assert (await harness.find(first.booking_id)).state is BookingState.CONFIRMED
    await harness.release(await do_change(harness, second, "B3", "B4"))
    mine = (first.booking_id, "booked")
    assert await harness.seat_rows(show) == dict.fromkeys(["C1", "C2"], mine)


async def test_a_guest_changes_seats_over_http_and_has_one_hold(
    open_client: OpenBookingClient,
) -> None:
    guest = await open_client("guest")
    show = await guest.harness.schedule(scheduled())
    hold = await guest.hold(show, "A1", "A2")
    path = f"/api/booking/holds/{hold['hold_id']}/seats"
    answer = await guest.http.put(path, json={"seats": ["B1", "B2"]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["seats"] == ["B1", "B2"]
    assert answer.json()["expires_at"] == hold["expires_at"]
    assert (await guest.get(f"/api/booking/holds/{hold['hold_id']}"))["seats"] == ["B1", "B2"]
    states = await guest.states(show)
    assert {seat for seat, state in states.items() if state == "held"} == {"B1", "B2"}
    refused = await guest.http.put(path, json={"seats": ["B1"], "sets": []})
    assert refused.status_code == 400
    stranger = await open_client()
    refused = await stranger.http.put(path, json={"best": 2})
    assert refused.status_code == 404


async def test_seat_maps_follow_later_changes_of_a_changed_hold(client: BookingClient) -> None:
    hub: SeatMapHub = client.context.hub
    show = await client.harness.schedule(scheduled())
    hold = await client.hold(show, "A1", "A2")
    path = f"/api/booking/holds/{hold['hold_id']}/seats"
    for seats in (["B1", "B2"], ["C1", "C2"]):
        assert (await client.http.put(path, json={"seats": seats})).status_code == 200
        states = await client.states(show)
        assert [seat for seat, state in states.items() if state == "held"] == seats
    assert UUID(hold["hold_id"]) not in hub._ended_holds


async def test_a_new_hold_and_a_change_for_one_seat_do_not_both_get_it(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    [[changed_one], [held]] = await asyncio.gather(
        try_change(harness, change(hold, "B1", "B2")),
        harness.try_hold(hold_command(show, "B1", "B2")),
    )
    assert isinstance(changed_one, SeatTaken) != isinstance(held, SeatTaken)


async def _shorten(harness: BookingHarness, hold: Booking) -> None:
    for table, column in (("bookings", "expires_at"), ("booking_seats", "held_until")):
        await harness.execute(
            f"UPDATE {table} SET {column} = {column} - interval '5 minutes' WHERE booking_id = :id",
            id=hold.booking_id,
        )


async def _untils(harness: BookingHarness) -> set[Any]:
    async def query(tx: Transaction) -> set[Any]:
        rows = await tx.execute(text("SELECT held_until FROM booking_seats"))
        return {found.held_until for found in rows}

    return await harness.db.read(query)
