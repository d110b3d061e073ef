"""Many commands run in few transactions, and none for seats that are known to be gone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cinesync.booking import service
from cinesync.booking.context import BookingContext
from cinesync.booking.hold_batches import RUSH_COMMANDS
from cinesync.booking.model import HoldSeats, Terms
from cinesync.booking.seatmap.state import SeatMapState
from cinesync.booking.service import Held
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis.batcher import BATCH_MAX
from cinesync.chassis.database import Transaction
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.support.booking import CLIENTS, hold_command, row, scheduled

WAIT_SECONDS_MAX = 30


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches of holds that went to the database."""
    sizes: list[int] = []
    hold_seats = service.hold_seats

    async def counted(
        tx: Transaction, holds: Sequence[HoldSeats], *rest: Any, **options: Any
    ) -> Any:
        sizes.append(len(holds))
        return await hold_seats(tx, holds, *rest, **options)

    monkeypatch.setattr(service, "hold_seats", counted)
    return sizes


def commands_for(show: ShowScheduled, count: int) -> list[HoldSeats]:
    """Of as many customers, one best seat each."""
    return [hold_command(show, best=1) for _ in range(count)]


async def test_many_at_once_are_answered_from_few_transactions(
    client: BookingClient, batches: list[int]
) -> None:
    show = await client.harness.schedule(scheduled())
    commands = commands_for(show, 24)
    held = await asyncio.gather(*(client.context.holds.hold(one) for one in commands))
    seats = {priced.seat for one in held for priced in one.allocation.seats}
    assert len(seats) == 24
    assert batches == [24]


async def test_what_was_refused_is_refused_again_without_asking_the_database(
    client: BookingClient, open_client: OpenBookingClient, batches: list[int]
) -> None:
    show = await client.harness.schedule(scheduled(row("A", 3)))
    await client.states(show)
    sold = await client.hold(show, "A1", "A2", "A3")
    late = await open_client("guest")
    two = {"show_id": str(show.show_id), "best": 2}
    answers = [await late.http.post("/api/booking/holds", json=two) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {409}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert batches == [1, 1]  # the one that got seats, the first that did not
    late.http.headers["Authorization"] = "Bearer nonsense"
    anybody = await late.http.post("/api/booking/holds", json=two)
    assert anybody.status_code == 409, "it is public, and cheaper than to verify a token"
    late = await open_client("guest")
    one = {"show_id": str(show.show_id), "best": 1}
    assert (await late.http.post("/api/booking/holds", json=one)).status_code == 409
    assert batches == [1, 1, 1]
    await client.http.delete(f"/api/booking/holds/{sold['hold_id']}")
    assert (await late.http.post("/api/booking/holds", json=two)).status_code == 201


async def test_a_refusal_that_is_about_the_customer_is_nobody_elses(
    client: BookingClient, open_client: OpenBookingClient
) -> None:
    show = await client.harness.schedule(scheduled(row("A", 6)))
    await client.states(show)
    greedy, fresh = await open_client("guest"), await open_client("guest")
    body = {"show_id": str(show.show_id), "best": 2}
    responses = [await one.http.post("/api/booking/holds", json=body) for one in (greedy, greedy)]
    assert [answer.status_code for answer in responses] == [201, 422]
    assert (await fresh.http.post("/api/booking/holds", json=body)).status_code == 201


async def test_who_waited_meanwhile_is_refused_without_asking_the_database_either(
    client: BookingClient, batches: list[int]
) -> None:
    context = BookingContext(
        client.harness.db, Terms(), TicketSigner("a secret"), CLIENTS, subscribers_max=10
    )
    show = await client.harness.schedule(scheduled(row("A", 2)))
    await context.hub.seat_map(show.show_id, SeatMapState.states)
    commands = commands_for(show, 3 * BATCH_MAX)
    results = await asyncio.gather(*map(context.holds.hold, commands), return_exceptions=True)
    assert sum(isinstance(result, Held) for result in results) == 2
    assert batches == [BATCH_MAX], "the first gives the seats away; the others only hear of it"


async def test_a_rush_has_the_seat_map_here_before_anybody_is_refused(
    client: BookingClient,
) -> None:
    context = BookingContext(
        client.harness.db, Terms(), TicketSigner("a secret"), CLIENTS, subscribers_max=10
    )
    show = await client.harness.schedule(scheduled())
    await asyncio.gather(*map(context.holds.hold, commands_for(show, RUSH_COMMANDS - 1)))
    assert not context.hub.versions([show.show_id])
    await asyncio.gather(*map(context.holds.hold, commands_for(show, RUSH_COMMANDS)))
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not context.hub.versions([show.show_id]):  # noqa: ASYNC110 another task's doing
            await asyncio.sleep(0.01)
