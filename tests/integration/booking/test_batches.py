"""Many wishes in few transactions, and none for what is known to be gone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cinesync.booking import service
from cinesync.booking.context import RUSH_WISHES, Shop
from cinesync.booking.model import HoldSeats, Terms
from cinesync.booking.seatmap.state import Feed
from cinesync.booking.service import Held
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis.batcher import BATCH_MAX
from cinesync.chassis.database import Transaction
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.storefront import OpenStorefront, Storefront
from tests.support.booking import CLIENTS, row, scheduled, wish

PATIENCE_SECONDS = 30


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches of holds that went to the database."""
    sizes: list[int] = []
    hold_seats = service.hold_seats

    async def counted(tx: Transaction, holds: Sequence[HoldSeats], *rest: Any) -> Any:
        sizes.append(len(holds))
        return await hold_seats(tx, holds, *rest)

    monkeypatch.setattr(service, "hold_seats", counted)
    return sizes


def wishes_for(show: ShowScheduled, count: int) -> list[HoldSeats]:
    """Of as many customers, one best seat each."""
    return [wish(show, best=1) for _ in range(count)]


async def test_many_at_once_are_answered_from_few_transactions(
    front: Storefront, batches: list[int]
) -> None:
    show = await front.office.schedule(scheduled())
    wishes = wishes_for(show, 24)
    held = await asyncio.gather(*(front.shop.hold(one) for one in wishes))
    seats = {priced.seat for one in held for priced in one.pick.seats}
    assert len(seats) == 24
    assert batches == [24]


async def test_what_was_refused_is_refused_again_without_asking_the_database(
    front: Storefront, open_storefront: OpenStorefront, batches: list[int]
) -> None:
    show = await front.office.schedule(scheduled(row("A", 3)))
    await front.states(show)
    sold = await front.hold(show, "A1", "A2", "A3")
    late = await open_storefront("guest")
    two = {"show_id": str(show.show_id), "best": 2}
    answers = [await late.http.post("/api/booking/holds", json=two) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {409}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert batches == [1, 1]  # the one that got seats, the first that did not
    late.http.headers["Authorization"] = "Bearer nonsense"
    anybody = await late.http.post("/api/booking/holds", json=two)
    assert anybody.status_code == 409, "it is no secret, and cheaper to tell than to check a token"
    late = await open_storefront("guest")
    one = {"show_id": str(show.show_id), "best": 1}
    assert (await late.http.post("/api/booking/holds", json=one)).status_code == 409
    assert batches == [1, 1, 1]
    await front.http.delete(f"/api/booking/holds/{sold['hold_id']}")
    assert (await late.http.post("/api/booking/holds", json=two)).status_code == 201


async def test_a_refusal_that_is_about_the_customer_is_nobody_elses(
    front: Storefront, open_storefront: OpenStorefront
) -> None:
    show = await front.office.schedule(scheduled(row("A", 6)))
    await front.states(show)
    greedy, fresh = await open_storefront("guest"), await open_storefront("guest")
    body = {"show_id": str(show.show_id), "best": 2}
    asked = [await one.http.post("/api/booking/holds", json=body) for one in (greedy, greedy)]
    assert [answer.status_code for answer in asked] == [201, 422]
    assert (await fresh.http.post("/api/booking/holds", json=body)).status_code == 201


async def test_who_waited_meanwhile_is_refused_without_asking_the_database_either(
    front: Storefront, batches: list[int]
) -> None:
    shop = Shop(front.office.db, Terms(), TicketSigner("a secret"), CLIENTS, listeners_max=10)
    show = await front.office.schedule(scheduled(row("A", 2)))
    await shop.live.seat_map(show.show_id, Feed.states)
    wishes = wishes_for(show, 3 * BATCH_MAX)
    results = await asyncio.gather(*map(shop.hold, wishes), return_exceptions=True)
    assert sum(isinstance(result, Held) for result in results) == 2
    assert batches == [BATCH_MAX], "the first gives the seats away; the others only hear of it"


async def test_a_rush_has_the_seat_map_here_before_anybody_is_refused(front: Storefront) -> None:
    shop = Shop(front.office.db, Terms(), TicketSigner("a secret"), CLIENTS, listeners_max=10)
    show = await front.office.schedule(scheduled())
    await asyncio.gather(*map(shop.hold, wishes_for(show, RUSH_WISHES - 1)))
    assert not shop.live.versions([show.show_id])
    await asyncio.gather(*map(shop.hold, wishes_for(show, RUSH_WISHES)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not shop.live.versions([show.show_id]):  # noqa: ASYNC110 another task's doing
            await asyncio.sleep(0.01)
