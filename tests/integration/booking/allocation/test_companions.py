"""Companion seats: with the wheelchair place, later by the same customer, by anybody in the end."""

import pytest

from cinesync.booking.model import AskNeed, CompanionAlone
from cinesync.booking.service import Held
from cinesync.chassis import clock
from cinesync.contracts.movies import LayoutSeat
from tests.integration.booking.test_seat_changes import do_change
from tests.support.booking import BookingHarness, accessible, hold_command, row, scheduled


async def test_a_companion_seat_goes_with_its_wheelchair_place(harness: BookingHarness) -> None:
    seats = [*row("A", 4), *accessible("W1", companions=2), *accessible("W2", x=5)]
    show = await harness.schedule(scheduled(seats))
    for named in (("W1a",), ("W2", "W1a")):
        with pytest.raises(CompanionAlone) as refusal:
            await harness.hold(show, *named)
        assert refusal.value.members["rule"] == "companion"
        assert refusal.value.members["seats"] == ["W1a"]
        assert refusal.value.members["with_seats"] == ["W1"]
        assert "W1a goes with wheelchair place W1" in refusal.value.detail
        assert "60 minutes before the show" in refusal.value.detail
    assert (await harness.hold(show, "W1", "W1a")).seat_names == ["W1", "W1a"]


@pytest.mark.parametrize("is_paid", [False, True])
async def test_who_has_the_wheelchair_place_gets_its_companion_seat_later(
    harness: BookingHarness,
    is_paid: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    show = await harness.schedule(scheduled())
    customer_id = clock.new_id()
    place = await harness.hold(show, "W1", customer_id=customer_id)
    if is_paid:
        await harness.pay(place)
    with pytest.raises(CompanionAlone):
        await harness.hold(show, "W1a")
    assert (await harness.hold(show, "W1a", customer_id=customer_id)).seat_names == ["W1a"]


async def test_a_place_that_was_given_back_has_no_companions(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    customer_id = clock.new_id()
    await harness.release(await harness.hold(show, "W1", customer_id=customer_id))
    with pytest.raises(CompanionAlone):
        await harness.hold(show, "W1a", customer_id=customer_id)
    await harness.expire_holds(await harness.hold(show, "W1", customer_id=customer_id))
    with pytest.raises(CompanionAlone):
        await harness.hold(show, "W1a", customer_id=customer_id)


async def test_within_a_batch_the_owner_is_known_too(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    customer_id = clock.new_id()
    results = await harness.try_hold(
        hold_command(show, "W1", customer_id=customer_id),
        hold_command(show, "W1a", customer_id=customer_id),
        hold_command(show, "W2", customer_id=clock.new_id()),
        hold_command(show, "W2a", customer_id=customer_id),
    )
    assert [type(result) for result in results] == [Held, Held, Held, CompanionAlone]


async def test_shortly_before_the_show_anybody_gets_a_companion_seat(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=61))
    with pytest.raises(CompanionAlone):
        await harness.hold(show, "W1a")
    await harness.start_in(show, 59)
    assert (await harness.hold(show, "W1a")).seat_names == ["W1a"]


async def test_a_changed_hold_does_not_keep_the_companion_seat_alone(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "W1", "W1a")
    with pytest.raises(CompanionAlone):
        await do_change(harness, hold, "W1a")
    assert (await do_change(harness, hold, "W1")).seat_names == ["W1"]
    assert (await do_change(harness, hold, "W1", "W1a")).seat_names == ["W1", "W1a"]


async def test_a_companion_seat_of_no_place_is_sold_in_the_end(harness: BookingHarness) -> None:
    orphan = LayoutSeat(
        seat="X1", row="X", number=1, zone="standard", kind="companion", x=0.0, y=0.0
    )
    seats = [*row("A", 2), *accessible("W1"), orphan]
    show = await harness.schedule(scheduled(seats))
    with pytest.raises(CompanionAlone) as refusal:
        await harness.hold(show, "X1")
    assert refusal.value.members["with_seats"] == []
    await harness.start_in(show, 30)
    await harness.hold(show, "X1")


async def test_a_wheelchair_place_asks_for_need_and_for_no_proof(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    with pytest.raises(AskNeed) as refusal:
        await harness.hold(show, "W1", "W1a", accessible_need=False)
    assert refusal.value.members == {"rule": "accessible_need", "seats": ["W1"]}
    await harness.hold(show, "W1", "W1a", accessible_need=True)
    await harness.hold(show, "W2")  # a client that does not know the question
    await harness.hold(show, "A1", "A2", accessible_need=False)
