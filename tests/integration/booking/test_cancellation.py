"""Giving back single seats of a booking: money, gaps, tickets, and what others are told."""

from typing import Any

import pytest

from cinesync.booking import event_handlers, revocations
from cinesync.booking.cancel_rules import NotInBooking
from cinesync.booking.model import Booking, CompanionAlone, GapLeft, State, TooLateToCancel
from cinesync.booking.tickets import TicketName
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.storefront import Storefront
from tests.support.booking import BoxOffice, accessible, called_off, refunded, row, scheduled


async def bought(office: BoxOffice, show: ShowScheduled, *seats: str) -> Booking:
    held = await office.hold(show, *seats)
    await office.pay(held)
    return await office.find(held.booking_id)


async def test_a_seat_given_back_takes_its_price_along_and_leaves_the_rest(
    office: BoxOffice,
) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8", "C8")
    kept, [event] = await office.give_back(booking, "C8")
    assert (kept.state, kept.seat_names) == (State.CONFIRMED, ["B7", "B8"])
    assert (kept.total_cents, kept.refund_cents, kept.refund_state) == (3500, 1500, "pending")
    assert [priced.seat for priced in kept.cancelled_seats] == ["C8"]
    assert (event.seats, event.refund_cents, event.reason) == (["C8"], 1500, "customer")
    assert await office.told("booking.reduced") == [event]
    assert set(await office.seat_rows(show)) == {"B7", "B8"}
    assert (await office.hold(show, "C8")).total_cents == 1500


async def test_what_is_left_goes_back_with_the_last_seat(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8", "C8")
    await office.give_back(booking, "C8")
    gone, [event] = await office.give_back(booking, "B8", "B7")
    assert (gone.state, gone.refund_cents) == (State.CANCELLED, 3500)
    assert (event.name, event.seats, event.refund_cents) == (
        "booking.cancelled",
        ["B7", "B8"],
        2000,
    )
    assert await office.seat_rows(show) == {}


async def test_a_seat_is_given_back_once(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8", "C8")
    await office.give_back(booking, "C8")
    again, events = await office.give_back(booking, "C8")
    assert (again.refund_cents, events) == (1500, [])
    assert len(await office.told("booking.reduced")) == 1


async def test_refunds_of_parts_add_up(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    held = await office.hold(show, "B7", "B8", "C8")
    payment = await office.pay(held)
    await office.give_back(held, "C8")
    await office.db.run(event_handlers.note_refunds, [refunded(payment, 1500)])
    assert (await office.find(held.booking_id)).refund_state == "refunded"
    await office.cancel(held)
    assert (await office.find(held.booking_id)).refund_state == "pending"
    await office.db.run(event_handlers.note_refunds, [refunded(payment, 2000)])
    assert (await office.find(held.booking_id)).refund_state == "refunded"


async def test_a_seat_of_nobody_is_not_given_back(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8")
    with pytest.raises(NotInBooking, match="A1"):
        await office.give_back(booking, "B7", "A1")
    assert set(await office.seat_rows(show)) == {"B7", "B8"}


@pytest.mark.parametrize(
    ("mine", "others", "going", "instead"),
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
    office: BoxOffice,
    mine: tuple[str, ...],
    others: tuple[str, ...],
    going: tuple[str, ...],
    instead: list[tuple[str, ...]] | None,
) -> None:
    show = await office.schedule(scheduled(row("A", 8)))
    if others:
        await bought(office, show, *others)
    booking = await bought(office, show, *mine)
    if instead is None:
        await office.give_back(booking, *going)
        return
    with pytest.raises(GapLeft) as refused:
        await office.give_back(booking, *going)
    assert refused.value.members["seats"] == list(going)
    assert refused.value.members["alternatives"] == instead
    assert "Cancel A3, or A1 and A2" in refused.value.detail
    assert set(await office.seat_rows(show)) == set(mine)
    for seats in instead:
        other = await bought(
            office, await office.schedule(scheduled(row("A", 8))), *mine
        )  # each advice is good
        await office.give_back(other, *seats)


async def test_a_companion_does_not_stay_without_the_wheelchair_place(office: BoxOffice) -> None:
    show = await office.schedule(scheduled(accessible("W1")))
    booking = await bought(office, show, "W1", "W1a")
    with pytest.raises(CompanionAlone, match="W1 and W1a together"):
        await office.give_back(booking, "W1")
    kept, _ = await office.give_back(booking, "W1a")
    assert kept.seat_names == ["W1"]


async def test_a_seat_can_be_given_back_as_long_as_the_booking(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8")
    await office.start_in(show, minutes=119)
    with pytest.raises(TooLateToCancel):
        await office.give_back(booking, "B8")


async def test_a_cancelled_show_gives_back_only_what_was_left(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8", "C8")
    await office.give_back(booking, "C8")
    await office.db.run(event_handlers.cancel_shows, [called_off(show)])
    [event] = await office.told("booking.cancelled")
    assert (event.refund_cents, event.reason) == (2000, "show")
    assert (await office.find(booking.booking_id)).refund_cents == 3500


async def test_the_ticket_of_a_seat_given_back_is_revoked(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    booking = await bought(office, show, "B7", "B8")
    before = await office.db.read(revocations.of_show, show.show_id)
    await office.give_back(booking, "B7")
    after = await office.db.read(revocations.of_show, show.show_id)
    assert (before.tickets, before.seq) == ([], 0)
    assert (after.tickets, after.seq) == ([str(TicketName(booking.booking_id, "B7"))], 1)


async def test_over_http_one_seat_is_cancelled_and_the_map_shows_it(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    booking = await front.book(show, "B7", "B8")
    path = f"/api/booking/bookings/{booking['booking_id']}/cancel"
    answer = await front.http.post(path, json={"seats": ["B7"]})
    assert answer.status_code == 200, answer.text
    left: dict[str, Any] = answer.json()
    assert (left["status"], left["seats"], left["refund_cents"]) == ("confirmed", ["B8"], 1000)
    assert left["cancelled_seats"] == [{"seat": "B7", "zone": "standard", "price_cents": 1000}]
    assert left["ticket"]
    assert (await front.states(show))["B7"] == "free"
    wrong: Any
    for wrong in ({"seats": []}, {"seats": ["Z9"]}, {"seats": "B8"}):
        assert (await front.http.post(path, json=wrong)).status_code == 422, wrong
    assert (await front.http.post(path, json={})).json()["status"] == "cancelled"
