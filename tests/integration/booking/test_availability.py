"""Seats left are those that can be bought now: neither sold nor held."""

import asyncio
from typing import Any

import pytest

from cinesync.booking import availability, event_handlers
from cinesync.chassis import clock
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.storefront import Storefront
from tests.support.booking import BoxOffice, called_off, changed, scheduled

SEATS = 28


async def left(front: Storefront, *shows: ShowScheduled) -> list[tuple[int, int]]:
    """As if the last question was asked long ago."""
    front.shop.availability._counted.clear()
    show_ids = ",".join(str(show.show_id) for show in shows)
    found = await front.get("/api/booking/availability", show_ids=show_ids)
    assert [one["seat_count"] for one in found["items"]] == [SEATS] * len(shows)
    return [(one["seats_left"], one["seats_held"]) for one in found["items"]]


@pytest.mark.parametrize("is_watched", [False, True])
async def test_held_and_sold_seats_cannot_be_bought_now(
    front: Storefront,
    is_watched: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    office = front.office
    show, other = await office.schedule(scheduled()), await office.schedule(scheduled())
    if is_watched:
        await front.states(show)
    await front.hold(show, "A1", "A2")
    assert await left(front, show, other) == [(26, 2), (28, 0)]
    await front.book(show, "B1", "B2", "B3")
    if is_watched:
        await front.shop.live.resync()
    assert await left(front, other, show) == [(28, 0), (23, 2)]
    seat_map = await front.get(f"/api/booking/shows/{show.show_id}/seats")
    free = [seat for seat in seat_map["seats"] if seat["state"] == "free"]
    assert seat_map["seats_left"] == len(free)


async def test_a_hold_that_ran_out_counts_no_more(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    await front.office.run_out(await front.office.hold(show, "A1", "A2"))
    assert await left(front, show) == [(28, 0)]


async def test_nothing_can_be_bought_of_a_show_that_is_off(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    await front.office.db.run(event_handlers.cancel_shows, [called_off(show)])
    assert await left(front, show) == [(0, 0)]


async def test_seats_of_zones_without_a_price_do_not_count(front: Storefront) -> None:
    show = await front.office.schedule(scheduled())
    prices = {"standard": 1000}
    await front.office.db.run(event_handlers.change_shows, [changed(show, 1, prices_cents=prices)])
    found = await front.get("/api/booking/availability", show_ids=str(show.show_id))
    assert found["items"][0]["seat_count"] == found["items"][0]["seats_left"] == 20


async def test_many_who_ask_within_moments_cost_one_count(
    office: BoxOffice, front: Storefront, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = await office.schedule(scheduled())
    counts = 0
    taken_of = availability.taken_of

    async def counted(*arguments: Any) -> Any:
        nonlocal counts
        counts += 1
        return await taken_of(*arguments)

    monkeypatch.setattr(availability, "taken_of", counted)
    answers = await asyncio.gather(*(front.shop.availability.of([show.show_id]) for _ in range(20)))
    assert {one.seats_left for [one] in answers} == {28}
    assert counts == 1


@pytest.mark.parametrize(
    "asked", ["", "no id", ",".join([str(clock.new_id())] * 201)], ids=["none", "word", "many"]
)
async def test_what_names_no_shows_is_refused(front: Storefront, asked: str) -> None:
    answer = await front.http.get("/api/booking/availability", params={"show_ids": asked})
    assert answer.status_code == 422


async def test_an_unknown_show_is_left_out(front: Storefront) -> None:
    found = await front.get("/api/booking/availability", show_ids=str(clock.new_id()))
    assert found == {"items": []}
