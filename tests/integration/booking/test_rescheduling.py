"""A show that moves: who may give back until when, what they see, and that each is told once."""

from datetime import timedelta

import pytest

from cinesync.booking import event_handlers, rescheduling
from cinesync.booking.model import State, TooLateToCancel
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.movies import ShowChanged, ShowScheduled
from tests.integration.booking.storefront import Storefront
from tests.support.booking import BoxOffice, changed, scheduled


def moved(show: ShowScheduled, minutes: float, revision: int = 1) -> ShowChanged:
    by = timedelta(minutes=minutes)
    return changed(show, revision, starts_at=show.starts_at + by, ends_at=show.ends_at + by)


async def tell_all(office: BoxOffice, at_once: int = 200) -> int:
    pages = 0
    await office.execute("UPDATE reschedule_notices SET due_at = now()")
    while await office.db.run(rescheduling.tell_customers, office.terms, at_once):
        pages += 1
    return pages


async def test_a_show_moved_earlier_can_be_given_back_until_its_new_start(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=180))
    booking = await office.hold(show, "A1", "A2")
    await office.pay(booking)
    await office.db.run(
        event_handlers.change_shows, [moved(show, -150)]
    )  # it starts in half an hour
    cancelled, [event] = await office.cancel(booking)
    assert cancelled.state is State.CANCELLED
    assert event.refund_cents == 2000


async def test_a_small_change_takes_no_right_away_and_gives_none(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=130))
    booking = await office.hold(show, "A1", "A2", "A3")
    await office.pay(booking)
    await office.db.run(event_handlers.change_shows, [moved(show, -14)])  # in 116 minutes
    kept, _ = await office.give_back(booking, "A3")  # as until 120 minutes before the old start
    assert kept.state is State.CONFIRMED
    await office.db.run(event_handlers.change_shows, [moved(show, -29, revision=2)])
    await office.give_back(booking, "A2")


async def test_who_bought_the_new_time_has_no_claim(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=180))
    await office.db.run(event_handlers.change_shows, [moved(show, -150)])
    booking = await office.hold(show, "A1", "A2")
    await office.pay(booking)
    with pytest.raises(TooLateToCancel):
        await office.cancel(booking)


async def test_a_show_moved_there_and_back_is_as_it_was_booked(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(starts_in_minutes=100))
    booking = await office.hold(show, "A1", "A2")
    await office.pay(booking)
    await office.db.run(event_handlers.change_shows, [moved(show, 60, revision=1)])
    await office.db.run(event_handlers.change_shows, [moved(show, 0, revision=2)])
    with pytest.raises(TooLateToCancel):
        await office.cancel(booking)


async def test_each_customer_is_told_once_page_by_page(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    bookings = [await office.hold(show, *pair) for pair in (("A1", "A2"), ("B1", "B2"), ("C1",))]
    for booking in bookings:
        await office.pay(booking)
    await office.hold(show, "A7", "A8")  # not paid for: nobody is told
    change = moved(show, 30)
    await office.db.run(event_handlers.change_shows, [change])
    await office.db.run(event_handlers.change_shows, [change])
    late = await office.hold(show, "B7", "B8")  # bought as it is now
    await office.pay(late)
    assert await tell_all(office, at_once=2) == 2  # of two, and of one
    told = await office.told("booking.rescheduled")
    assert {event.booking_id for event in told} == {one.booking_id for one in bookings}
    assert len(told) == 3
    assert {(e.starts_at_before, e.starts_at) for e in told} == {(show.starts_at, change.starts_at)}


async def test_who_pays_after_the_move_for_seats_chosen_before_it_is_told_too(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled())
    early, late = await office.hold(show, "A1", "A2"), await office.hold(show, "B1", "B2")
    await office.pay(early)
    await office.db.run(event_handlers.change_shows, [moved(show, 30)])
    await tell_all(office)
    await office.pay(late)
    for _ in range(2):
        await tell_all(office)
    told = await office.told("booking.rescheduled")
    assert [event.booking_id for event in told] == [early.booking_id, late.booking_id]
    hour = "moved_at - interval '2 hours'"
    await office.execute(f"UPDATE reschedule_notices SET moved_at = {hour}")
    await tell_all(office)  # nobody is left who could pay for seats chosen before
    assert await office.db.read(count_of, "reschedule_notices") == 0
    assert await office.db.read(count_of, "reschedules_told") == 0


async def count_of(tx: Transaction, table: str) -> int:
    count: int = (await tx.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
    return count


async def test_small_changes_and_new_prices_tell_nobody(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.pay(await office.hold(show, "A1", "A2"))
    await office.db.run(event_handlers.change_shows, [moved(show, 14)])
    await office.db.run(
        event_handlers.change_shows, [moved(show, 14, revision=2), changed(show, 3)]
    )
    await tell_all(office)
    assert await office.told("booking.rescheduled") == []


async def test_small_changes_add_up_and_the_way_back_is_told(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.pay(await office.hold(show, "A1", "A2"))
    for revision, minutes in ((1, 10), (2, 20), (3, 0)):
        await office.db.run(event_handlers.change_shows, [moved(show, minutes, revision)])
        await tell_all(office)
    told = await office.told("booking.rescheduled")
    assert [event.revision for event in told] == [2, 3]


async def test_the_old_time_stays_to_be_seen(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    booking = await front.book(show, "A1", "A2")
    assert (booking["is_moved"], booking["booked_starts_at"]) == (False, booking["starts_at"])
    change = moved(show, 30)
    await front.office.db.run(event_handlers.change_shows, [change])
    after = await front.get(f"/api/booking/bookings/{booking['booking_id']}")
    assert (after["is_moved"], after["booked_starts_at"]) == (True, booking["starts_at"])
    assert after["starts_at"] != booking["starts_at"]
    assert after["cancel_until"] == after["starts_at"]
    listed = await front.get("/api/booking/bookings")
    assert listed["items"][0]["is_moved"]
