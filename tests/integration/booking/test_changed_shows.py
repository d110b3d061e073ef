"""Nobody pays more than they saw, though prices and times change while they choose."""

from datetime import timedelta
from typing import Any

import pytest

from cinesync.booking.model import ExpectedOffer, SaleChanged
from cinesync.booking.show_changes import service as show_changes
from tests.integration.booking.client import BookingClient
from tests.support.booking import BookingHarness, changed, scheduled

SEEN_PRICES = {"standard": 1000, "premium": 1500}
DEARER = {"standard": 1300, "premium": 1500}


async def test_a_dearer_seat_is_not_held_before_the_customer_confirms(
    harness: BookingHarness,
) -> None:
    show = await harness.schedule(scheduled())
    await harness.db.run(show_changes.change_shows, [changed(show, 1, prices_cents=DEARER)])
    seen = ExpectedOffer(prices_cents=SEEN_PRICES, starts_at=show.starts_at)
    with pytest.raises(SaleChanged) as refusal:
        await harness.hold(show, "A1", "A2", "C1", "C2", seen=seen)
    assert refusal.value.status == 409
    members = refusal.value.members
    assert members["changed"] == ["price"]
    assert members["before"]["total_cents"] == 5000
    assert members["after"]["total_cents"] == 5600
    assert await harness.seat_rows(show) == {}
    confirmed = ExpectedOffer(**members["after"])
    hold = await harness.hold(show, "A1", "A2", "C1", "C2", seen=confirmed)
    assert hold.total_cents == 5600


@pytest.mark.parametrize("seen", [{"total_cents": 2000}, {"prices_cents": SEEN_PRICES}])
async def test_a_price_that_fell_surprises_nobody(
    harness: BookingHarness, seen: dict[str, Any]
) -> None:
    show = await harness.schedule(scheduled(prices_cents=SEEN_PRICES))
    cheaper = {"standard": 800, "premium": 1500}
    await harness.db.run(show_changes.change_shows, [changed(show, 1, prices_cents=cheaper)])
    assert (await harness.hold(show, "A1", "A2", seen=ExpectedOffer(**seen))).total_cents == 1600


async def test_the_best_seats_are_not_dearer_than_their_zone_was(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.db.run(show_changes.change_shows, [changed(show, 1, prices_cents=DEARER)])
    with pytest.raises(SaleChanged):
        await harness.hold(
            show, best=2, zone="standard", seen=ExpectedOffer(prices_cents=SEEN_PRICES)
        )
    with pytest.raises(SaleChanged):
        await harness.hold(show, best=2, zone="standard", seen=ExpectedOffer(total_cents=2500))
    await harness.hold(show, best=2, zone="standard", seen=ExpectedOffer(prices_cents=DEARER))


async def test_a_zone_that_was_not_seen_had_no_price_to_compare(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    seen = ExpectedOffer(prices_cents={"standard": 1000})
    assert (await harness.hold(show, "C1", "C2", seen=seen)).total_cents == 3000


@pytest.mark.parametrize("minutes", [-30, 30])
async def test_another_time_is_told_too(harness: BookingHarness, minutes: int) -> None:
    show = await harness.schedule(scheduled())
    moved = show.starts_at + timedelta(minutes=minutes)
    await harness.db.run(show_changes.change_shows, [changed(show, 1, starts_at=moved)])
    with pytest.raises(SaleChanged) as refusal:
        await harness.hold(
            show, "A1", "A2", seen=ExpectedOffer(total_cents=2000, starts_at=show.starts_at)
        )
    assert refusal.value.members["changed"] == ["time"]
    assert refusal.value.members["before"]["starts_at"] == show.starts_at
    assert refusal.value.members["after"]["starts_at"] == moved
    await harness.hold(show, "A1", "A2", seen=ExpectedOffer(total_cents=2000, starts_at=moved))


async def test_over_http_the_answer_is_what_the_next_request_says(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    seat_map = await client.get(f"/api/booking/shows/{show.show_id}/seats")
    prices = {zone["zone"]: zone["price_cents"] for zone in seat_map["zones"]}
    await client.harness.db.run(show_changes.change_shows, [changed(show, 1, prices_cents=DEARER)])
    body: dict[str, Any] = {"show_id": str(show.show_id), "seats": ["A1", "A2"]}
    seen = {"prices_cents": prices, "starts_at": seat_map["starts_at"]}
    answer = await client.http.post("/api/booking/holds", json=body | {"seen": seen})
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"].endswith("sale-changed")
    answer = await client.http.post("/api/booking/holds", json=body | {"seen": problem["after"]})
    assert answer.status_code == 201
    assert answer.json()["total_cents"] == 2600


async def test_who_does_not_say_what_they_saw_gets_seats_as_before(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    await client.harness.db.run(show_changes.change_shows, [changed(show, 1, prices_cents=DEARER)])
    assert (await client.hold(show, "A1", "A2"))["total_cents"] == 2600
