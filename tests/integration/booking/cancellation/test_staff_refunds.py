"""Staff give money back: of a booking, a part of it, a whole show; before the start and after."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from cinesync.booking import loops
from cinesync.booking.cancellation import show_refunds
from cinesync.booking.cancellation.show_refunds import RefundShow, ShowRefundPage
from cinesync.booking.model import BookingState
from cinesync.booking.payments import service as payments
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis import audit_log, clock
from cinesync.chassis.database import Transaction
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.support.booking import called_off, paid, scheduled


@pytest.fixture
async def staff(open_client: OpenBookingClient) -> BookingClient:
    return await open_client("staff")


@pytest.fixture
async def manager(open_client: OpenBookingClient) -> BookingClient:
    return await open_client("manager")


@pytest.fixture
async def show(client: BookingClient) -> ShowScheduled:
    return await client.harness.schedule(scheduled())


def body(**more: Any) -> dict[str, Any]:
    return {"refund_id": str(clock.new_id()), "reason": "The projector failed"} | more


async def give_back(
    by: BookingClient, booking: dict[str, Any], status: int = 200, **more: Any
) -> dict[str, Any]:
    path = f"/api/booking/bookings/{booking['booking_id']}/refunds"
    answer = await by.http.post(path, json=body(**more))
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def trail(client: BookingClient) -> list[audit_log.EntryView]:
    return await client.harness.db.run_one(audit_log.page, audit_log.Filter())


@pytest.mark.parametrize("starts_in_minutes", [24 * 60, 1, -1, -119])
async def test_a_booking_is_refunded_before_and_after_the_start(
    client: BookingClient, staff: BookingClient, show: ShowScheduled, starts_in_minutes: int
) -> None:
    booking = await client.book(show, "A1", "A2")
    await client.harness.start_in(show, starts_in_minutes)
    refunded = await give_back(staff, booking)
    assert (refunded["status"], refunded["refund_cents"], refunded["cancel_reason"]) == (
        "cancelled",
        2000,
        "staff",
    )
    [event] = await client.harness.events("booking.cancelled")
    assert (event.refund_cents, event.reason) == (2000, "staff")
    mine = await client.get(f"/api/booking/bookings/{booking['booking_id']}")
    assert (mine["cancel_note"], mine["ticket"]) == ("The projector failed", None)
    [entry] = await trail(client)
    assert (entry.action, entry.actor_id, entry.reason) == (
        "booking.refunded",
        staff.customer_id,
        "The projector failed",
    )
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["status"], entry.after["status"]) == ("confirmed", "cancelled")


async def test_a_part_of_a_booking_is_refunded_by_seats_or_by_amount(
    client: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await client.book(show, "A1", "A2", "C1")
    await client.harness.start_in(show, -30)
    left = await give_back(staff, booking, amount_cents=500)
    assert (left["status"], left["seats"], left["refund_cents"]) == (
        "confirmed",
        ["A1", "A2", "C1"],
        500,
    )
    mine = await client.get(f"/api/booking/bookings/{booking['booking_id']}")
    assert [line["note"] for line in mine["refunds"]] == ["The projector failed"]
    left = await give_back(staff, booking, seats=["A2"])  # staff may leave a gap
    assert (left["seats"], left["refund_cents"]) == (["A1", "C1"], 1500)
    assert [line["refund_cents"] for line in left["refunds"]] == [500, 1000]
    refused = await give_back(staff, booking, 422, amount_cents=2001)
    assert refused["left_cents"] == 2000
    gone = await give_back(staff, booking)
    assert (gone["status"], gone["refund_cents"]) == ("cancelled", 3500)
    found = [
        *await client.harness.events("booking.reduced"),
        *await client.harness.events("booking.cancelled"),
    ]
    assert [(event.seats, event.refund_cents) for event in found] == [
        ([], 500),
        (["A2"], 1000),
        (["A1", "C1"], 2000),
    ]
    await give_back(staff, booking, 409)


async def test_the_same_refund_is_done_once(
    client: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking, other = await client.book(show, "A1", "A2"), await client.book(show, "B1", "B2")
    same: Any = {"refund_id": str(clock.new_id()), "amount_cents": 300}
    answers = [await give_back(staff, booking, **same) for _ in range(3)]
    assert [answer["refund_cents"] for answer in answers] == [300, 300, 300]
    assert len(await client.harness.events("booking.reduced")) == 1
    assert (await give_back(staff, other, 422, **same))["type"] == "/problems/refund-id-used"


async def test_customers_refund_nothing_by_themselves_and_staff_no_show(
    client: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await client.book(show, "A1", "A2")
    await give_back(client, booking, 403)
    path = f"/api/booking/shows/{show.show_id}/refunds"
    assert (await staff.http.post(path, json=body())).status_code == 403
    assert (await client.http.post(path, json=body())).status_code == 403
    await give_back(staff, {"booking_id": clock.new_id()}, 404)
    await give_back(staff, booking, 422, seats=["A1"], amount_cents=5)
    await give_back(staff, booking, 422, seats=["Z1"])


async def test_a_whole_show_is_refunded_page_by_page(
    client: BookingClient, manager: BookingClient, show: ShowScheduled
) -> None:
    bookings = [await client.book(show, *pair) for pair in (("A1", "A2"), ("B1", "B2"), ("C1",))]
    held = await client.hold(show, "A7", "A8")
    await give_back(manager, bookings[0], amount_cents=500)
    await client.harness.start_in(show, -20)
    path = f"/api/booking/shows/{show.show_id}/refunds"
    request = body(limit=2)
    first = (await manager.http.post(path, json=request)).json()
    assert (first["bookings_refunded"], first["bookings_left"], first["finished_at"]) == (
        2,
        1,
        None,
    )
    body_again = {"show_id": str(show.show_id), "seats": ["A5", "A6"]}
    refused = await client.http.post("/api/booking/holds", json=body_again)
    assert refused.status_code == 409  # nobody buys what is being refunded back
    await client.context.hub.resync()
    seat_map = await client.get(f"/api/booking/shows/{show.show_id}/seats")
    assert (seat_map["cancelled"], seat_map["cancel_reason"]) == (True, "The projector failed")
    second = (await manager.http.post(path, json=request)).json()
    assert (second["bookings_refunded"], second["bookings_left"]) == (3, 0)
    assert second["refund_cents"] == 2000 - 500 + 2000 + 1500
    assert second["finished_at"]
    assert (await manager.http.post(path, json=request)).json() == second
    assert await manager.get(f"{path}/{request['refund_id']}") == second
    events = await client.harness.events("booking.cancelled")
    assert sorted(event.refund_cents for event in events) == [1500, 1500, 2000]
    for booking in bookings:
        found = await client.get(f"/api/booking/bookings/{booking['booking_id']}")
        assert (found["status"], found["cancel_note"]) == ("cancelled", "The projector failed")
    late = await client.harness.find(UUID(held["hold_id"]))  # paid while it was going on
    assert late.state is BookingState.RELEASED
    await client.harness.db.run(payments.confirm_bookings, [paid(late)])
    [back] = await client.harness.events("booking.refused")
    assert back.reason == "released_show"
    actions = [entry.action for entry in await trail(client)]
    assert actions == ["show.refunded", "show.refund_begun", "booking.refunded"]


async def until_over(client: BookingClient, manager: BookingClient, path: str) -> dict[str, Any]:
    """The loop runs, and nobody asks for a page."""
    loop = asyncio.create_task(loops.refund_shows(client.harness.db))
    try:
        while not (found := await manager.get(path))["finished_at"]:
            assert not loop.done()
            await asyncio.sleep(0.01)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    done: dict[str, Any] = found
    return done


async def test_a_show_is_refunded_by_itself_and_goes_on_where_it_was_stopped(
    client: BookingClient,
    manager: BookingClient,
    show: ShowScheduled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = (("A1", "A2"), ("B1", "B2"), ("C1", "C2"), ("A3", "A4"))
    bookings = [await client.book(show, *pair) for pair in pairs]
    path = f"/api/booking/shows/{show.show_id}/refunds"
    request = body(limit=1)
    assert (await manager.http.post(path, json=request)).json()["bookings_left"] == 3
    monkeypatch.setattr(show_refunds, "PAGE_MAX", 1)
    monkeypatch.setattr(loops, "BATCH_PAUSE_SECONDS", 0.0)
    refund, pages = show_refunds.refund_show, list[UUID]()

    async def stopped(tx: Transaction, command: RefundShow) -> ShowRefundPage:
        """As by kill -9: one page is done, and the next is not committed."""
        page = await refund(tx, command)
        pages.append(command.refund_id)
        if len(pages) == 2:
            raise asyncio.CancelledError
        return page

    monkeypatch.setattr(show_refunds, "refund_show", stopped)
    with pytest.raises(asyncio.CancelledError):
        await loops.refund_shows(client.harness.db)
    found = await manager.get(f"{path}/{request['refund_id']}")
    assert (found["bookings_refunded"], found["finished_at"]) == (2, None)
    monkeypatch.setattr(show_refunds, "refund_show", refund)
    found = await until_over(client, manager, f"{path}/{request['refund_id']}")
    assert (found["bookings_refunded"], found["bookings_left"]) == (4, 0)
    events = await client.harness.events("booking.cancelled")
    assert sorted(str(event.booking_id) for event in events) == sorted(
        booking["booking_id"] for booking in bookings
    )
    over, begun = await trail(client)
    assert (over.action, over.actor_role, over.actor_id) == (
        "show.refunded",
        "system",
        manager.customer_id,
    )
    assert begun.actor_role == "manager"


async def test_the_programme_learns_once_that_a_show_is_given_back(
    client: BookingClient, manager: BookingClient, show: ShowScheduled
) -> None:
    request = body()
    for _ in range(2):
        path = f"/api/booking/shows/{show.show_id}/refunds"
        assert (await manager.http.post(path, json=request)).status_code == 200
    [event] = await client.harness.events("show.refund.begun")
    assert (event.show_id, event.region, event.reason) == (
        show.show_id,
        show.region,
        "The projector failed",
    )


async def test_a_show_that_is_cancelled_meanwhile_is_given_back_whole(
    client: BookingClient, manager: BookingClient, show: ShowScheduled
) -> None:
    bookings = [await client.book(show, *pair) for pair in (("A1", "A2"), ("B1", "B2"))]
    path = f"/api/booking/shows/{show.show_id}/refunds"
    request = body(limit=1)
    await manager.http.post(path, json=request)
    await client.harness.db.run(show_changes.cancel_shows, [called_off(show)])
    assert len(await client.harness.events("booking.cancelled")) == 1, "the other is the refund's"
    done = await until_over(client, manager, f"{path}/{request['refund_id']}")
    assert (done["bookings_refunded"], done["refund_cents"]) == (2, 4000)
    for booking in bookings:
        found = await client.harness.find(UUID(booking["booking_id"]))
        assert (found.state, found.refund_cents) == (BookingState.CANCELLED, 2000)
    assert len(await client.harness.events("booking.cancelled")) == 2
    other = await client.harness.schedule(scheduled())
    wrong = f"/api/booking/shows/{other.show_id}/refunds"
    assert (await manager.http.post(wrong, json=request)).status_code == 422
    assert (await manager.http.get(f"{wrong}/{request['refund_id']}")).status_code == 404
