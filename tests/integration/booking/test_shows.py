"""Shows come, change and go, in any order."""

from datetime import timedelta
from uuid import UUID

import pytest

from cinesync.booking import event_handlers, show_store
from cinesync.booking.model import SalesClosed, Show
from tests.support.booking import BoxOffice, called_off, changed, row, scheduled


async def _show(office: BoxOffice, show_id: UUID) -> Show:
    [show] = (await office.db.read(show_store.find_shows, [show_id])).values()
    return show


async def test_a_show_closes_its_sale_by_its_own_rule(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=40, sales_close_minutes=-60))
    early = scheduled(starts_in_minutes=40)
    change = changed(early, 1, sales_close_minutes=-60)
    await office.db.run(event_handlers.change_shows, [change])  # it overtook its scheduling
    await office.schedule(early)
    for closed in (show, early):
        with pytest.raises(SalesClosed):
            await office.hold(closed, "A1", "A2")
    await office.db.run(event_handlers.change_shows, [changed(show, 1, sales_close_minutes=-30)])
    await office.hold(show, "A1", "A2")
    await office.db.run(event_handlers.change_shows, [changed(show, 2)])  # as all shows
    await office.hold(show, "A3", "A4")


async def test_a_scheduled_show_brings_its_layout(office: BoxOffice) -> None:
    event = scheduled()
    await office.schedule(event)
    show = await _show(office, event.show_id)
    assert show.prices_cents == event.prices_cents
    assert (show.starts_at, show.movie_title) == (event.starts_at, "The General")
    seats = await office.db.read(show_store.find_seats, show.layout_id)
    assert {seat.seat: seat for seat in seats} == {s.seat: s for s in event.layout.seats}


async def test_shows_of_one_room_share_its_layout(office: BoxOffice) -> None:
    first = scheduled()
    second = scheduled(layout=first.layout)
    third = scheduled(layout=first.layout)
    await office.schedule(first, second)
    await office.schedule(third)
    for event in (first, second, third):
        await office.hold(event, "A1", "A2")


async def test_a_show_is_scheduled_once(office: BoxOffice) -> None:
    event = scheduled()
    await office.schedule(event, event)
    await office.db.run(
        event_handlers.change_shows, [changed(event, 1, prices_cents={"standard": 5})]
    )
    await office.schedule(event)
    assert (await _show(office, event.show_id)).revision == 1


async def test_changes_are_applied_by_revision_not_by_arrival(office: BoxOffice) -> None:
    event = await office.schedule(scheduled())
    later = event.starts_at + timedelta(hours=1)
    newer = changed(event, 2, starts_at=later, ends_at=later + timedelta(hours=2))
    older = changed(event, 1, prices_cents={"standard": 1})
    await office.db.run(event_handlers.change_shows, [newer, older])
    await office.db.run(event_handlers.change_shows, [older])
    show = await _show(office, event.show_id)
    assert (show.revision, show.starts_at) == (2, later)
    assert show.prices_cents == event.prices_cents


async def test_a_change_that_overtook_its_show_is_not_lost(office: BoxOffice) -> None:
    event = scheduled([*row("A", 4)])
    await office.db.run(
        event_handlers.change_shows, [changed(event, 2, prices_cents={"standard": 7})]
    )
    await office.db.run(
        event_handlers.change_shows, [changed(event, 1, prices_cents={"standard": 6})]
    )
    await office.schedule(event)
    show = await _show(office, event.show_id)
    assert (show.revision, show.prices_cents, show.cancelled) == (2, {"standard": 7}, False)


async def test_a_cancellation_that_overtook_its_show_is_not_lost(office: BoxOffice) -> None:
    event = scheduled()
    await office.db.run(event_handlers.cancel_shows, [called_off(event)])
    await office.schedule(event)
    show = await _show(office, event.show_id)
    assert (show.revision, show.cancelled) == (0, True)


async def test_both_may_overtake_in_any_order(office: BoxOffice) -> None:
    change_first, cancel_first = scheduled(), scheduled()
    await office.db.run(event_handlers.change_shows, [changed(change_first, 3)])
    await office.db.run(
        event_handlers.cancel_shows, [called_off(change_first), called_off(cancel_first)]
    )
    await office.db.run(event_handlers.change_shows, [changed(cancel_first, 3)])
    await office.schedule(change_first, cancel_first)
    for event in (change_first, cancel_first):
        show = await _show(office, event.show_id)
        assert (show.revision, show.cancelled) == (3, True)
