"""A show that moves: how long it can be cancelled, what customers see, one notice for each."""

from datetime import timedelta

import pytest

from cinesync.booking.model import BookingState, TooLateToCancel
from cinesync.booking.show_changes import rescheduling
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.movies import ShowChanged, ShowScheduled
from tests.integration.booking.client import BookingClient
from tests.support.booking import BookingHarness, changed, scheduled


def moved(show: ShowScheduled, minutes: float, revision: int = 1) -> ShowChanged:
    by = timedelta(minutes=minutes)
    return changed(show, revision, starts_at=show.starts_at + by, ends_at=show.ends_at + by)


async def notify_all(harness: BookingHarness, at_once: int = 200) -> int:
    pages = 0
    await harness.execute("UPDATE reschedule_notices SET due_at = now()")
    while await harness.db.run(rescheduling.notify_customers, harness.terms, at_once):
        pages += 1
    return pages


async def test_a_show_moved_earlier_can_be_given_back_until_its_new_start(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=180))
    booking = await harness.hold(show, "A1", "A2")
    await harness.pay(booking)
    await harness.db.run(
        show_changes.change_shows, [moved(show, -150)]
    )  # it starts in half an hour
    cancelled, [event] = await harness.cancel(booking)
    assert cancelled.state is BookingState.CANCELLED
    assert event.refund_cents == 2000


async def test_a_small_change_takes_no_right_away_and_gives_none(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=130))
    booking = await harness.hold(show, "A1", "A2", "A3")
    await harness.pay(booking)
    await harness.db.run(show_changes.change_shows, [moved(show, -14)])  # in 116 minutes
    remaining, _ = await harness.give_back(
        booking, "A3"
    )  # as until 120 minutes before the old start
    assert remaining.state is BookingState.CONFIRMED
    await harness.db.run(show_changes.change_shows, [moved(show, -29, revision=2)])
    await harness.give_back(booking, "A2")


async def test_who_bought_the_new_time_has_no_claim(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=180))
    await harness.db.run(show_changes.change_shows, [moved(show, -150)])
    booking = await harness.hold(show, "A1", "A2")
    await harness.pay(booking)
    with pytest.raises(TooLateToCancel):
        await harness.cancel(booking)


async def test_a_show_moved_there_and_back_is_as_it_was_booked(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled(starts_in_minutes=100))
    booking = await harness.hold(show, "A1", "A2")
    await harness.pay(booking)
    await harness.db.run(show_changes.change_shows, [moved(show, 60, revision=1)])
    await harness.db.run(show_changes.change_shows, [moved(show, 0, revision=2)])
    with pytest.raises(TooLateToCancel):
        await harness.cancel(booking)


async def test_each_customer_is_told_once_page_by_page(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    bookings = [await harness.hold(show, *pair) for pair in (("A1", "A2"), ("B1", "B2"), ("C1",))]
    for booking in bookings:
        await harness.pay(booking)
    await harness.hold(show, "A7", "A8")  # not paid for: nobody is notified
    change = moved(show, 30)
    await harness.db.run(show_changes.change_shows, [change])
    await harness.db.run(show_changes.change_shows, [change])
    late = await harness.hold(show, "B7", "B8")  # bought as it is now
    await harness.pay(late)
    assert await notify_all(harness, at_once=2) == 2  # of two, and of one
    emitted = await harness.events("booking.rescheduled")
    assert {event.booking_id for event in emitted} == {one.booking_id for one in bookings}
    assert len(emitted) == 3
    assert {(e.starts_at_before, e.starts_at) for e in emitted} == {
        (show.starts_at, change.starts_at)
    }


async def test_who_pays_after_the_move_for_seats_chosen_before_it_is_told_too(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    early, late = await harness.hold(show, "A1", "A2"), await harness.hold(show, "B1", "B2")
    await harness.pay(early)
    await harness.db.run(show_changes.change_shows, [moved(show, 30)])
    await notify_all(harness)
    await harness.pay(late)
    for _ in range(2):
        await notify_all(harness)
    emitted = await harness.events("booking.rescheduled")
    assert [event.booking_id for event in emitted] == [early.booking_id, late.booking_id]
    hour = "moved_at - interval '2 hours'"
    await harness.execute(f"UPDATE reschedule_notices SET moved_at = {hour}")
    await notify_all(harness)  # nobody is left who could pay for seats chosen before
    assert await harness.db.read(count_of, "reschedule_notices") == 0
    assert await harness.db.read(count_of, "reschedules_told") == 0


async def count_of(tx: Transaction, table: str) -> int:
    count: int = (await tx.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
    return count


async def test_small_changes_and_new_prices_tell_nobody(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.pay(await harness.hold(show, "A1", "A2"))
    await harness.db.run(show_changes.change_shows, [moved(show, 14)])
    await harness.db.run(show_changes.change_shows, [moved(show, 14, revision=2), changed(show, 3)])
    await notify_all(harness)
    assert await harness.events("booking.rescheduled") == []


async def test_small_changes_add_up_and_the_way_back_is_told(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.pay(await harness.hold(show, "A1", "A2"))
    for revision, minutes in ((1, 10), (2, 20), (3, 0)):
        await harness.db.run(show_changes.change_shows, [moved(show, minutes, revision)])
        await notify_all(harness)
    emitted = await harness.events("booking.rescheduled")
    assert [event.revision for event in emitted] == [2, 3]


async def test_the_old_time_stays_to_be_seen(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "A1", "A2")
    assert (booking["is_moved"], booking["booked_starts_at"]) == (False, booking["starts_at"])
    change = moved(show, 30)
    await client.harness.db.run(show_changes.change_shows, [change])
    after = await client.get(f"/api/booking/bookings/{booking['booking_id']}")
    assert (after["is_moved"], after["booked_starts_at"]) == (True, booking["starts_at"])
    assert after["starts_at"] != booking["starts_at"]
    assert after["cancel_until"] == after["starts_at"]
    listed = await client.get("/api/booking/bookings")
    assert listed["items"][0]["is_moved"]
