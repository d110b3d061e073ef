"""Nobody pays more than they saw, though prices and times change while they choose."""

from datetime import timedelta
from typing import Any

import pytest

from cinesync.booking import event_handlers
from cinesync.booking.model import SaleChanged, Seen
from tests.integration.booking.storefront import Storefront
from tests.support.booking import BoxOffice, changed, scheduled

SEEN_PRICES = {"standard": 1000, "premium": 1500}
DEARER = {"standard": 1300, "premium": 1500}


async def test_a_dearer_seat_is_not_held_before_the_customer_confirms(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.db.run(event_handlers.change_shows, [changed(show, 1, prices_cents=DEARER)])
    seen = Seen(prices_cents=SEEN_PRICES, starts_at=show.starts_at)
    with pytest.raises(SaleChanged) as refusal:
        await office.hold(show, "A1", "A2", "C1", "C2", seen=seen)
    assert refusal.value.status == 409
    members = refusal.value.members
    assert members["changed"] == ["price"]
    assert members["before"]["total_cents"] == 5000
    assert members["after"]["total_cents"] == 5600
    assert await office.seat_rows(show) == {}
    confirmed = Seen(**members["after"])
    hold = await office.hold(show, "A1", "A2", "C1", "C2", seen=confirmed)
    assert hold.total_cents == 5600


@pytest.mark.parametrize("seen", [{"total_cents": 2000}, {"prices_cents": SEEN_PRICES}])
async def test_a_price_that_fell_surprises_nobody(office: BoxOffice, seen: dict[str, Any]) -> None:
    show = await office.schedule(scheduled(prices_cents=SEEN_PRICES))
    cheaper = {"standard": 800, "premium": 1500}
    await office.db.run(event_handlers.change_shows, [changed(show, 1, prices_cents=cheaper)])
    assert (await office.hold(show, "A1", "A2", seen=Seen(**seen))).total_cents == 1600


async def test_the_best_seats_are_not_dearer_than_their_zone_was(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.db.run(event_handlers.change_shows, [changed(show, 1, prices_cents=DEARER)])
    with pytest.raises(SaleChanged):
        await office.hold(show, best=2, zone="standard", seen=Seen(prices_cents=SEEN_PRICES))
    with pytest.raises(SaleChanged):
        await office.hold(show, best=2, zone="standard", seen=Seen(total_cents=2500))
    await office.hold(show, best=2, zone="standard", seen=Seen(prices_cents=DEARER))


async def test_a_zone_that_was_not_seen_had_no_price_to_compare(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    seen = Seen(prices_cents={"standard": 1000})
    assert (await office.hold(show, "C1", "C2", seen=seen)).total_cents == 3000


@pytest.mark.parametrize("minutes", [-30, 30])
async def test_another_time_is_told_too(office: BoxOffice, minutes: int) -> None:
    show = await office.schedule(scheduled())
    moved = show.starts_at + timedelta(minutes=minutes)
    await office.db.run(event_handlers.change_shows, [changed(show, 1, starts_at=moved)])
    with pytest.raises(SaleChanged) as refusal:
        await office.hold(show, "A1", "A2", seen=Seen(total_cents=2000, starts_at=show.starts_at))
    assert refusal.value.members["changed"] == ["time"]
    assert refusal.value.members["before"]["starts_at"] == show.starts_at
    assert refusal.value.members["after"]["starts_at"] == moved
    await office.hold(show, "A1", "A2", seen=Seen(total_cents=2000, starts_at=moved))


async def test_over_http_the_answer_is_what_the_next_request_says(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    seat_map = await front.get(f"/api/booking/shows/{show.show_id}/seats")
    prices = {zone["zone"]: zone["price_cents"] for zone in seat_map["zones"]}
    await front.office.db.run(event_handlers.change_shows, [changed(show, 1, prices_cents=DEARER)])
    body: dict[str, Any] = {"show_id": str(show.show_id), "seats": ["A1", "A2"]}
    seen = {"prices_cents": prices, "starts_at": seat_map["starts_at"]}
    answer = await front.http.post("/api/booking/holds", json=body | {"seen": seen})
    assert answer.status_code == 409
    told = answer.json()
    assert told["type"].endswith("sale-changed")
    answer = await front.http.post("/api/booking/holds", json=body | {"seen": told["after"]})
    assert answer.status_code == 201
    assert answer.json()["total_cents"] == 2600


async def test_who_does_not_say_what_they_saw_gets_seats_as_before(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    await front.office.db.run(event_handlers.change_shows, [changed(show, 1, prices_cents=DEARER)])
    assert (await front.hold(show, "A1", "A2"))["total_cents"] == 2600
