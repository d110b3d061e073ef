"""Shows come, change and go, in any order."""

from datetime import timedelta
from uuid import UUID

import pytest

from cinesync.booking.model import SalesClosed, Show
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.shows import store as show_store
from tests.support.booking import BookingHarness, called_off, changed, row, scheduled


async def _show(harness: BookingHarness, show_id: UUID) -> Show:
    [show] = (await harness.db.read(show_store.find_shows, [show_id])).values()
    return show


async def test_a_show_closes_its_sale_by_its_own_rule(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=40, sales_close_minutes=-60))
    early = scheduled(starts_in_minutes=40)
    change = changed(early, 1, sales_close_minutes=-60)
    await harness.db.run(show_changes.change_shows, [change])  # it overtook its scheduling
    await harness.schedule(early)
    for closed in (show, early):
        with pytest.raises(SalesClosed):
            await harness.hold(closed, "A1", "A2")
    await harness.db.run(show_changes.change_shows, [changed(show, 1, sales_close_minutes=-30)])
    await harness.hold(show, "A1", "A2")
    await harness.db.run(show_changes.change_shows, [changed(show, 2)])  # as all shows
    await harness.hold(show, "A3", "A4")


async def test_a_scheduled_show_brings_its_layout(harness: BookingHarness) -> None:
    event = scheduled()
    await harness.schedule(event)
    show = await _show(harness, event.show_id)
    assert show.prices_cents == event.prices_cents
    assert (show.starts_at, show.movie_title) == (event.starts_at, "The General")
    seats = await harness.db.read(show_store.find_seats, show.layout_id)
    assert {seat.seat: seat for seat in seats} == {s.seat: s for s in event.layout.seats}


async def test_shows_of_one_room_share_its_layout(harness: BookingHarness) -> None:
    first = scheduled()
    second = scheduled(layout=first.layout)
    third = scheduled(layout=first.layout)
    await harness.schedule(first, second)
    await harness.schedule(third)
    for event in (first, second, third):
        await harness.hold(event, "A1", "A2")


async def test_a_show_is_scheduled_once(harness: BookingHarness) -> None:
    event = scheduled()
    await harness.schedule(event, event)
    await harness.db.run(
        show_changes.change_shows, [changed(event, 1, prices_cents={"standard": 5})]
    )
    await harness.schedule(event)
    assert (await _show(harness, event.show_id)).revision == 1


async def test_changes_are_applied_by_revision_not_by_arrival(harness: BookingHarness) -> None:
    event = await harness.schedule(scheduled())
    later = event.starts_at + timedelta(hours=1)
    newer = changed(event, 2, starts_at=later, ends_at=later + timedelta(hours=2))
    older = changed(event, 1, prices_cents={"standard": 1})
    await harness.db.run(show_changes.change_shows, [newer, older])
    await harness.db.run(show_changes.change_shows, [older])
    show = await _show(harness, event.show_id)
    assert (show.revision, show.starts_at) == (2, later)
    assert show.prices_cents == event.prices_cents


async def test_a_change_that_overtook_its_show_is_not_lost(harness: BookingHarness) -> None:
    event = scheduled([*row("A", 4)])
    await harness.db.run(
        show_changes.change_shows, [changed(event, 2, prices_cents={"standard": 7})]
    )
    await harness.db.run(
        show_changes.change_shows, [changed(event, 1, prices_cents={"standard": 6})]
    )
    await harness.schedule(event)
    show = await _show(harness, event.show_id)
    assert (show.revision, show.prices_cents, show.cancelled) == (2, {"standard": 7}, False)


async def test_a_cancellation_that_overtook_its_show_is_not_lost(harness: BookingHarness) -> None:
    event = scheduled()
    await harness.db.run(show_changes.cancel_shows, [called_off(event)])
    await harness.schedule(event)
    show = await _show(harness, event.show_id)
    assert (show.revision, show.cancelled) == (0, True)


async def test_both_may_overtake_in_any_order(harness: BookingHarness) -> None:
    change_first, cancel_first = scheduled(), scheduled()
    await harness.db.run(show_changes.change_shows, [changed(change_first, 3)])
    await harness.db.run(
        show_changes.cancel_shows, [called_off(change_first), called_off(cancel_first)]
    )
    await harness.db.run(show_changes.change_shows, [changed(cancel_first, 3)])
    await harness.schedule(change_first, cancel_first)
    for event in (change_first, cancel_first):
        show = await _show(harness, event.show_id)
        assert (show.revision, show.cancelled) == (3, True)
