"""Cancelling single seats of a booking: money, gaps, tickets, events."""

from typing import Any

import pytest

from cinesync.booking.admission import revocation_store as revocations
from cinesync.booking.cancellation.rules import NotInBooking
from cinesync.booking.model import Booking, BookingState, CompanionAlone, GapLeft, TooLateToCancel
from cinesync.booking.payments import service as payments
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.tickets import TicketId
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.client import BookingClient
from tests.support.booking import BookingHarness, accessible, called_off, refunded, row, scheduled


async def paid_booking(harness: BookingHarness, show: ShowScheduled, *seats: str) -> Booking:
    held = await harness.hold(show, *seats)
    await harness.pay(held)
    return await harness.find(held.booking_id)


async def test_a_seat_given_back_takes_its_price_along_and_leaves_the_rest(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8", "C8")
    remaining, [event] = await harness.give_back(booking, "C8")
    assert (remaining.state, remaining.seat_names) == (BookingState.CONFIRMED, ["B7", "B8"])
    assert (remaining.total_cents, remaining.refund_cents, remaining.refund_state) == (
        3500,
        1500,
        "pending",
    )
    assert [priced.seat for priced in remaining.cancelled_seats] == ["C8"]
    assert (event.seats, event.refund_cents, event.reason) == (["C8"], 1500, "customer")
    assert await harness.events("booking.reduced") == [event]
    assert set(await harness.seat_rows(show)) == {"B7", "B8"}
    assert (await harness.hold(show, "C8")).total_cents == 1500


async def test_what_is_left_goes_back_with_the_last_seat(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8", "C8")
    await harness.give_back(booking, "C8")
    gone, [event] = await harness.give_back(booking, "B8", "B7")
    assert (gone.state, gone.refund_cents) == (BookingState.CANCELLED, 3500)
    assert (event.name, event.seats, event.refund_cents) == (
        "booking.cancelled",
        ["B7", "B8"],
        2000,
    )
    assert await harness.seat_rows(show) == {}


async def test_a_seat_is_given_back_once(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8", "C8")
    await harness.give_back(booking, "C8")
    again, events = await harness.give_back(booking, "C8")
    assert (again.refund_cents, events) == (1500, [])
    assert len(await harness.events("booking.reduced")) == 1


async def test_refunds_of_parts_add_up(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    held = await harness.hold(show, "B7", "B8", "C8")
    payment = await harness.pay(held)
    await harness.give_back(held, "C8")
    await harness.db.run(payments.count_refunds, [refunded(payment, 1500)])
    assert (await harness.find(held.booking_id)).refund_state == "refunded"
    await harness.cancel(held)
    assert (await harness.find(held.booking_id)).refund_state == "pending"
    await harness.db.run(payments.count_refunds, [refunded(payment, 2000)])
    assert (await harness.find(held.booking_id)).refund_state == "refunded"


async def test_a_seat_of_nobody_is_not_given_back(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8")
    with pytest.raises(NotInBooking, match="A1"):
        await harness.give_back(booking, "B7", "A1")
    assert set(await harness.seat_rows(show)) == {"B7", "B8"}


@pytest.mark.parametrize(
    ("mine", "others", "cancelled", "instead"),
    [
        # Between strangers: any other single seat would be left alone too, so it is allowed.
        (("A1", "A2"), ("A3", "A4"), ("A1",), None),
        # At the end of a free stretch: the seat beside the free ones goes instead.
        (("A1", "A2", "A3"), (), ("A2",), [("A3",), ("A1", "A2"), ("A2", "A3")]),
        (("A1", "A2", "A3"), (), ("A1",), [("A3",), ("A1", "A2")]),
        (("A1", "A2", "A3"), (), ("A3",), None),
    ],
)
async def test_what_stays_leaves_no_seat_alone(
    harness: BookingHarness,
    mine: tuple[str, ...],
    others: tuple[str, ...],
    cancelled: tuple[str, ...],
    instead: list[tuple[str, ...]] | None,
) -> None:
    show = await harness.schedule(scheduled(row("A", 8)))
    if others:
        await paid_booking(harness, show, *others)
    booking = await paid_booking(harness, show, *mine)
    if instead is None:
        await harness.give_back(booking, *cancelled)
        return
    with pytest.raises(GapLeft) as refused:
        await harness.give_back(booking, *cancelled)
    assert refused.value.members["seats"] == list(cancelled)
    assert refused.value.members["alternatives"] == instead
    assert "Cancel A3, or A1 and A2" in refused.value.detail
    assert set(await harness.seat_rows(show)) == set(mine)
    for seats in instead:
        other = await paid_booking(
            harness, await harness.schedule(scheduled(row("A", 8))), *mine
        )  # each advice is good
        await harness.give_back(other, *seats)


async def test_a_companion_does_not_stay_without_the_wheelchair_place(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled(accessible("W1")))
    booking = await paid_booking(harness, show, "W1", "W1a")
    with pytest.raises(CompanionAlone, match="W1 and W1a together"):
        await harness.give_back(booking, "W1")
    remaining, _ = await harness.give_back(booking, "W1a")
    assert remaining.seat_names == ["W1"]


async def test_a_seat_can_be_given_back_as_long_as_the_booking(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8")
    await harness.start_in(show, minutes=119)
    with pytest.raises(TooLateToCancel):
        await harness.give_back(booking, "B8")


async def test_a_cancelled_show_gives_back_only_what_was_left(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8", "C8")
    await harness.give_back(booking, "C8")
    await harness.db.run(show_changes.cancel_shows, [called_off(show)])
    [event] = await harness.events("booking.cancelled")
    assert (event.refund_cents, event.reason) == (2000, "show")
    assert (await harness.find(booking.booking_id)).refund_cents == 3500


async def test_the_ticket_of_a_seat_given_back_is_revoked(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    booking = await paid_booking(harness, show, "B7", "B8")
    before = await harness.db.read(revocations.of_show, show.show_id)
    await harness.give_back(booking, "B7")
    after = await harness.db.read(revocations.of_show, show.show_id)
    assert (before.tickets, before.seq) == ([], 0)
    assert (after.tickets, after.seq) == ([str(TicketId(booking.booking_id, "B7"))], 1)


async def test_over_http_one_seat_is_cancelled_and_the_map_shows_it(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "B7", "B8")
    path = f"/api/booking/bookings/{booking['booking_id']}/cancel"
    answer = await client.http.post(path, json={"seats": ["B7"]})
    assert answer.status_code == 200, answer.text
    left: dict[str, Any] = answer.json()
    assert (left["status"], left["seats"], left["refund_cents"]) == ("confirmed", ["B8"], 1000)
    assert left["cancelled_seats"] == [{"seat": "B7", "zone": "standard", "price_cents": 1000}]
    assert left["ticket"]
    assert (await client.states(show))["B7"] == "free"
    wrong: Any
    for wrong in ({"seats": []}, {"seats": ["Z9"]}, {"seats": "B8"}):
        assert (await client.http.post(path, json=wrong)).status_code == 422, wrong
    assert (await client.http.post(path, json={})).json()["status"] == "cancelled"
