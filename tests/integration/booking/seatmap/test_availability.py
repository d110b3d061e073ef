"""Seats left are those that can be bought now: neither sold nor held."""

import asyncio
from typing import Any

import pytest

from cinesync.booking import seat_store
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis import clock
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.client import BookingClient
from tests.support.booking import BookingHarness, called_off, changed, scheduled

SEATS = 28


async def left(client: BookingClient, *shows: ShowScheduled) -> list[tuple[int, int]]:
    """As if the last question was show_ids long ago."""
    client.context.availability._counted.clear()
    show_ids = ",".join(str(show.show_id) for show in shows)
    found = await client.get("/api/booking/availability", show_ids=show_ids)
    assert [one["seat_count"] for one in found["items"]] == [SEATS] * len(shows)
    return [(one["seats_left"], one["seats_held"]) for one in found["items"]]


@pytest.mark.parametrize("is_watched", [False, True])
async def test_held_and_sold_seats_cannot_be_bought_now(
    client: BookingClient,
    is_watched: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    harness = client.harness
    show, other = await harness.schedule(scheduled()), await harness.schedule(scheduled())
    if is_watched:
        await client.states(show)
    await client.hold(show, "A1", "A2")
    assert await left(client, show, other) == [(26, 2), (28, 0)]
    await client.book(show, "B1", "B2", "B3")
    if is_watched:
        await client.context.hub.resync()
    assert await left(client, other, show) == [(28, 0), (23, 2)]
    seat_map = await client.get(f"/api/booking/shows/{show.show_id}/seats")
    free = [seat for seat in seat_map["seats"] if seat["state"] == "free"]
    assert seat_map["seats_left"] == len(free)


async def test_a_hold_that_ran_out_counts_no_more(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    await client.harness.expire_holds(await client.harness.hold(show, "A1", "A2"))
    assert await left(client, show) == [(28, 0)]


async def test_nothing_can_be_bought_of_a_show_that_is_off(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    await client.harness.db.run(show_changes.cancel_shows, [called_off(show)])
    assert await left(client, show) == [(0, 0)]


async def test_seats_of_zones_without_a_price_do_not_count(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    prices = {"standard": 1000}
    await client.harness.db.run(show_changes.change_shows, [changed(show, 1, prices_cents=prices)])
    found = await client.get("/api/booking/availability", show_ids=str(show.show_id))
    assert found["items"][0]["seat_count"] == found["items"][0]["seats_left"] == 20


async def test_many_who_ask_within_moments_cost_one_count(
    harness: BookingHarness, client: BookingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = await harness.schedule(scheduled())
    counts = 0
    read_sales = seat_store.sales_with_held_seats

    async def counted(*arguments: Any) -> Any:
        nonlocal counts
        counts += 1
        return await read_sales(*arguments)

    monkeypatch.setattr(seat_store, "sales_with_held_seats", counted)
    answers = await asyncio.gather(
        *(client.context.availability.of([show.show_id]) for _ in range(20))
    )
    assert {one.seats_left for [one] in answers} == {28}
    assert counts == 1


@pytest.mark.parametrize(
    "show_ids", ["", "no id", ",".join([str(clock.new_id())] * 201)], ids=["none", "word", "many"]
)
async def test_what_names_no_shows_is_refused(client: BookingClient, show_ids: str) -> None:
    answer = await client.http.get("/api/booking/availability", params={"show_ids": show_ids})
    assert answer.status_code == 422


async def test_an_unknown_show_is_left_out(client: BookingClient) -> None:
    found = await client.get("/api/booking/availability", show_ids=str(clock.new_id()))
    assert found == {"items": []}
