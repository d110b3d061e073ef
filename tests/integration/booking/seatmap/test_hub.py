"""Live seat maps: patched by late, lost or duplicate events, corrected by the database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from cinesync.booking.allocation import seating
from cinesync.booking.context import BookingContext
from cinesync.booking.model import HoldSeats, NotTogether, SeatSelection, Terms, UnknownShow
from cinesync.booking.routes import fast_paths, routers
from cinesync.booking.seatmap import hub as hub_module
from cinesync.booking.seatmap import state as state_module
from cinesync.booking.seatmap import subscriber as subscriber_module
from cinesync.booking.seatmap.hub import SeatMapHub, TooManyListeners
from cinesync.booking.seatmap.state import SeatMapSnapshot, SeatMapState, SeatOccupancy
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.contracts.booking import BookingCancelled, BookingConfirmed, SeatsHeld, SeatsReleased
from tests.conftest import MakeClient
from tests.support.booking import CLIENTS, BookingHarness, row, scheduled
from tests.unit.booking.test_model import SHOW

SHOW_ID = SHOW.show_id
PLAN = seating.arrange(row("A", 6))
ALICE, BOB = UUID(int=1, version=4), UUID(int=2, version=4)
LATER = clock.now() + timedelta(minutes=10)


class Database:
    """What the loader answers, and a gate to hold it up."""

    def __init__(self) -> None:
        self.show = SHOW
        self.taken: dict[str, SeatOccupancy] = {}
        self.reads = 0
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def load(self, show_id: UUID) -> SeatMapSnapshot | None:
        self.reads += 1
        snapshot = SeatMapSnapshot(self.show, PLAN, dict(self.taken))
        await self.is_open.wait()
        return snapshot if show_id == SHOW_ID else None


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def hub(database: Database) -> SeatMapHub:
    return SeatMapHub(database.load, subscribers_max=2)


def _about(booking_id: UUID, seats: Sequence[str]) -> dict[str, Any]:
    return {
        "event_id": clock.new_id(),
        "occurred_at": clock.now(),
        "show_id": SHOW_ID,
        "region": "eu-west",
        "seats": seats,
    }


def held(hold_id: UUID, *seats: str) -> list[SeatsHeld]:
    return [SeatsHeld(**_about(hold_id, seats), hold_id=hold_id, expires_at=LATER)]


def released(hold_id: UUID, *seats: str) -> list[SeatsReleased]:
    return [SeatsReleased(**_about(hold_id, seats), hold_id=hold_id)]


def confirmed(booking_id: UUID, *seats: str) -> list[BookingConfirmed]:
    return [
        BookingConfirmed(
            **_about(booking_id, seats),
            booking_id=booking_id,
            payment_id=ALICE,
            customer_id=ALICE,
            total_cents=1,
            currency="EUR",
            late=False,
        )
    ]


def cancelled(booking_id: UUID, *seats: str) -> list[BookingCancelled]:
    return [
        BookingCancelled(
            **_about(booking_id, seats),
            booking_id=booking_id,
            payment_id=ALICE,
            customer_id=ALICE,
            refund_cents=1,
            currency="EUR",
            reason="customer",
        )
    ]


async def states(hub: SeatMapHub) -> dict[str, str]:
    _, body = await hub.seat_map(SHOW_ID, SeatMapState.states)
    found: dict[str, str] = msgspec.json.decode(body.plain)
    return found


async def version_of(hub: SeatMapHub) -> int:
    return (await hub.seat_map(SHOW_ID, SeatMapState.states))[0]


def parse(chunk: bytes) -> tuple[str, dict[str, Any]]:
    """The name and body of a server-sent event whose id is its version."""
    name, event_id, data = chunk.decode().strip().split("\n")
    body: dict[str, Any] = msgspec.json.decode(data.removeprefix("data: "))
    assert event_id == f"id: {body['version']}"
    return name.removeprefix("event: "), body


def changes(chunk: bytes) -> list[dict[str, str]]:
    """The seats of each of several events."""
    return [parse(part)[1]["seats"] for part in chunk.split(b"\n\n") if part]


async def opened(hub: SeatMapHub, since: int | None = None) -> AsyncIterator[bytes]:
    """A stream whose first chunk, the pause before a retry, has been read."""
    stream = await hub.subscribe(SHOW_ID, since)
    assert await anext(stream) == b"retry: 2000\n\n"
    return stream


async def test_seats_show_as_what_became_of_them(hub: SeatMapHub) -> None:
    assert await states(hub) == {}
    hub.seats_held(held(ALICE, "A1", "A2"))
    hub.seats_held(held(BOB, "A3"))
    assert await states(hub) == {"A1": "held", "A2": "held", "A3": "held"}
    hub.bookings_confirmed(confirmed(ALICE, "A1", "A2"))
    hub.seats_released(released(BOB, "A3"))
    assert await states(hub) == {"A1": "booked", "A2": "booked"}
    hub.bookings_cancelled(cancelled(ALICE, "A1", "A2"))
    assert await states(hub) == {}


async def test_a_change_grows_the_version_and_events_of_nothing_new_does_not(
    hub: SeatMapHub,
) -> None:
    first = await version_of(hub)
    hub.seats_held(held(ALICE, "A1"))
    second = await version_of(hub)
    hub.seats_held(held(ALICE, "A1"))
    assert first < second == await version_of(hub) < 2**53


async def test_late_events_does_not_undo_what_came_after(hub: SeatMapHub) -> None:
    await states(hub)
    hub.seats_released(released(ALICE, "A1"))
    hub.seats_held(held(ALICE, "A1"))
    assert await states(hub) == {}
    hub.bookings_confirmed(confirmed(BOB, "A2"))
    hub.seats_held(held(BOB, "A2"))
    hub.seats_released(released(BOB, "A2"))
    hub.seats_released(released(ALICE, "A2"))
    hub.bookings_cancelled(cancelled(ALICE, "A2"))
    assert await states(hub) == {"A2": "booked"}


async def test_late_money_revives_a_hold_that_was_over(hub: SeatMapHub) -> None:
    await states(hub)
    hub.seats_released(released(ALICE, "A1"))
    hub.bookings_confirmed(confirmed(ALICE, "A1"))
    assert await states(hub) == {"A1": "booked"}


async def test_held_seats_come_free_when_their_time_is_over(hub: SeatMapHub) -> None:
    stream = await opened(hub, await version_of(hub))
    hub.seats_held(held(ALICE, "A1"))
    hub.bookings_confirmed(confirmed(BOB, "A2"))
    hub.expire_holds(LATER - timedelta(seconds=1))
    assert await states(hub) == {"A1": "held", "A2": "booked"}
    hub.expire_holds(LATER)
    assert await states(hub) == {"A2": "booked"}
    sent = changes(await anext(stream))
    assert sent == [{"A1": "held"}, {"A2": "booked"}, {"A1": "free"}]


async def test_a_listener_without_a_version_gets_everything(hub: SeatMapHub) -> None:
    hub.seats_held(held(ALICE, "A1"))  # the show is not in memory yet
    await states(hub)
    hub.seats_held(held(ALICE, "A1"))
    name, body = parse(await anext(await opened(hub)))
    assert (name, body["seats"]) == ("snapshot", {"A1": "held"})


async def test_a_listener_with_a_version_gets_what_it_missed(hub: SeatMapHub) -> None:
    start = await version_of(hub)
    hub.seats_held(held(ALICE, "A1"))
    middle = await version_of(hub)
    hub.seats_held(held(BOB, "A2"))
    stream = await opened(hub, start)
    assert parse(await anext(stream)) == ("seats", {"version": middle, "seats": {"A1": "held"}})
    assert parse(await anext(stream))[1]["seats"] == {"A2": "held"}
    resumed = await opened(hub, middle)
    assert parse(await anext(resumed))[1]["seats"] == {"A2": "held"}


async def test_a_version_that_is_too_old_or_another_processs_gets_everything(
    hub: SeatMapHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "RECENT_CHANGES_MAX", 3)
    start = await version_of(hub)
    for number in range(1, 6):
        hub.seats_held(held(ALICE, f"A{number}"))
    name, body = parse(await anext(await opened(hub, start)))
    assert (name, len(body["seats"])) == ("snapshot", 5)
    other = SeatMapHub(database.load, subscribers_max=1)
    assert parse(await anext(await opened(other, await version_of(hub))))[0] == "snapshot"


async def test_lost_events_is_made_up_for_by_the_database(
    hub: SeatMapHub, database: Database
) -> None:
    live_version = await version_of(hub)
    stream = await opened(hub, live_version)
    hub.seats_held(held(BOB, "A2"))
    database.taken = {"A1": SeatOccupancy(ALICE, None), "A2": SeatOccupancy(BOB, LATER)}
    await hub.resync()
    assert await states(hub) == {"A1": "booked", "A2": "held"}
    assert changes(await anext(stream)) == [{"A2": "held"}, {"A1": "booked"}]


async def test_events_that_comes_while_the_database_is_read_is_not_lost(
    hub: SeatMapHub, database: Database
) -> None:
    database.is_open.clear()
    asking = asyncio.create_task(states(hub))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hub.seats_held(held(ALICE, "A1"))
    database.is_open.set()
    assert await asking == {"A1": "held"}
    database.is_open.clear()
    healing = asyncio.create_task(hub.resync())
    await asyncio.sleep(0)
    hub.bookings_confirmed(confirmed(ALICE, "A1"))
    database.is_open.set()
    await healing
    assert await states(hub) == {"A1": "booked"}


async def test_a_show_is_read_once_however_many_ask(hub: SeatMapHub, database: Database) -> None:
    await asyncio.gather(*(states(hub) for _ in range(10)))
    assert database.reads == 1


async def test_an_unknown_show_is_not_found_and_not_kept(
    hub: SeatMapHub, database: Database
) -> None:
    for _ in range(2):
        with pytest.raises(UnknownShow):
            await hub.seat_map(BOB, SeatMapState.states)
    assert database.reads == 2


async def test_what_nobody_looks_at_is_forgotten(
    hub: SeatMapHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await states(hub)
    await hub.resync()
    assert database.reads == 2
    monkeypatch.setattr(hub_module, "RESYNC_SECONDS", -1.0)
    await hub.resync()
    assert database.reads == 2
    await states(hub)
    assert database.reads == 3


async def test_a_changed_show_ends_its_streams_and_is_read_anew(
    hub: SeatMapHub, database: Database
) -> None:
    stream = await opened(hub, await version_of(hub))
    database.show = replace(SHOW, revision=1)
    await hub.resync()
    assert await anext(stream) == b"event: show\ndata: {}\n\n"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert database.reads == 2
    await states(hub)
    assert database.reads == 3


async def test_events_of_a_changed_show_does_the_same_at_once(hub: SeatMapHub) -> None:
    stream = await opened(hub, await version_of(hub))
    hub.shows_changed([*held(ALICE, "A1")])
    assert await anext(stream) == b"event: show\ndata: {}\n\n"
    hub.shows_changed([*held(ALICE, "A1")])


async def test_subscribers_are_bounded(hub: SeatMapHub) -> None:
    streams = [await opened(hub) for _ in range(2)]
    with pytest.raises(TooManyListeners):
        await hub.subscribe(SHOW_ID, None)
    await streams[0].aclose()  # type: ignore[attr-defined]
    await opened(hub)


async def test_a_slow_subscriber_is_dropped_and_can_resume(
    hub: SeatMapHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_module, "WAITING_MAX", 2)
    start = await version_of(hub)
    slow, quick = await opened(hub, start), await opened(hub, start)
    for number in range(1, 4):
        hub.seats_held(held(ALICE, f"A{number}"))
        await anext(quick)
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    again = await opened(hub, start)
    assert [parse(await anext(again))[1]["seats"] for _ in range(3)] == [
        {"A1": "held"},
        {"A2": "held"},
        {"A3": "held"},
    ]


async def test_a_silent_line_is_kept_open(hub: SeatMapHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.0)
    stream = await opened(hub, await version_of(hub))
    loop = asyncio.create_task(hub.run())
    assert (await anext(stream)).startswith(b":")
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_a_line_that_is_not_silent_needs_no_heartbeat(hub: SeatMapHub) -> None:
    stream = await opened(hub, await version_of(hub))
    hub.seats_held(held(ALICE, "A1"))
    await hub.send_heartbeats()
    assert b": still here" not in await anext(stream)


async def test_what_waits_is_sent_at_once(hub: SeatMapHub) -> None:
    stream = await opened(hub, await version_of(hub))
    hub.seats_held(held(ALICE, "A1"))
    hub.seats_held(held(BOB, "A2"))
    assert changes(await anext(stream)) == [{"A1": "held"}, {"A2": "held"}]


async def test_closing_ends_every_stream_and_opens_none(hub: SeatMapHub) -> None:
    waiting = await opened(hub, await version_of(hub))
    ending = asyncio.create_task(_rest(waiting))
    await asyncio.sleep(0)
    await hub.close()
    assert await ending == []
    with pytest.raises(TooManyListeners):
        await hub.subscribe(SHOW_ID, None)


async def _rest(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in stream]


async def test_there_is_room_for_so_many_shows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(show_id: UUID) -> SeatMapSnapshot:
        return SeatMapSnapshot(replace(SHOW, show_id=show_id), PLAN, {})

    monkeypatch.setattr(hub_module, "SEAT_MAPS_MAX", 1)
    hub = SeatMapHub(load, subscribers_max=2)
    watched = await hub.subscribe(ALICE, None)
    await anext(watched)
    first, _ = await hub.seat_map(ALICE, SeatMapState.states)
    await hub.seat_map(BOB, SeatMapState.states)
    await hub.seat_map(SHOW_ID, SeatMapState.states)
    assert (await hub.seat_map(ALICE, SeatMapState.states))[0] == first


def hold_command(best: int) -> HoldSeats:
    return HoldSeats(
        hold_id=clock.new_id(),
        customer_id=clock.new_id(),
        is_guest=True,
        show_id=SHOW_ID,
        email_key=clock.new_id(),
        selection=SeatSelection(best=best),
    )


async def test_a_refusal_is_kept_until_a_seat_comes_free(hub: SeatMapHub) -> None:
    hub.note_refusal(hold_command(4), NotTogether(), await version_of(hub))
    assert isinstance(hub.refusal(SHOW_ID, hold_command(4).selection), NotTogether)
    assert hub.refusal(SHOW_ID, hold_command(3).selection) is None
    hub.seats_held(held(ALICE, "A1"))
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is not None
    hub.seats_released(released(ALICE, "A1"))
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is None


async def test_a_refusal_that_offers_other_seats_is_kept_until_any_seat_changes(
    hub: SeatMapHub,
) -> None:
    hub.note_refusal(hold_command(4), NotTogether(alternatives=[["A1"]]), await version_of(hub))
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is not None
    hub.seats_held(held(ALICE, "A1"))
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is None


@pytest.mark.parametrize("offer", [[], [["A2"]]])
async def test_a_refusal_from_before_a_change_is_not_kept(
    hub: SeatMapHub, offer: list[list[str]]
) -> None:
    await states(hub)
    hub.seats_held(held(ALICE, "A1"))
    version = await version_of(hub)
    hub.seats_released(released(ALICE, "A1"))
    hub.note_refusal(hold_command(4), NotTogether(alternatives=offer), version)
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is None


async def test_a_refusal_from_before_the_seat_map_was_loaded_anew_is_not_kept(
    hub: SeatMapHub,
) -> None:
    version = await version_of(hub)
    hub.shows_changed([*held(ALICE, "A1")])
    assert await version_of(hub) > version
    hub.note_refusal(hold_command(4), NotTogether(), version)
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is None


async def test_a_refusal_outlives_no_look_at_the_database(hub: SeatMapHub) -> None:
    hub.note_refusal(hold_command(4), NotTogether(), await version_of(hub))
    await hub.resync()
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is None


async def test_a_refusal_loads_the_seat_map_for_those_to_come(
    hub: SeatMapHub, database: Database
) -> None:
    hub.note_refusal(hold_command(4), NotTogether(), None)
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is None
    version = await version_of(hub)
    assert database.reads == 1
    hub.note_refusal(hold_command(4), NotTogether(), version)
    assert hub.refusal(SHOW_ID, hold_command(4).selection) is not None


async def test_no_more_refusals_are_kept_than_said(
    hub: SeatMapHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "REFUSALS_MAX", 2)
    version = await version_of(hub)
    for best in (1, 2, 3):
        hub.note_refusal(hold_command(best), NotTogether(), version)
    known = [hub.refusal(SHOW_ID, hold_command(best).selection) for best in (1, 2, 3)]
    assert [refusal is not None for refusal in known] == [True, True, False]


async def test_the_loop_expires_holds_and_resyncs(
    hub: SeatMapHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(hub_module, "RESYNC_SECONDS", 0.0)
    stream = await opened(hub, await version_of(hub))
    database.taken = {"A1": SeatOccupancy(ALICE, None)}
    loop = asyncio.create_task(hub.run())
    assert parse(await anext(stream))[1]["seats"] == {"A1": "booked"}
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.parametrize("short", [True, False])
async def test_the_stream_is_served_over_http(
    harness: BookingHarness, make_client: MakeClient, *, short: bool
) -> None:
    context = BookingContext(
        harness.db, Terms(), TicketSigner("a secret"), CLIENTS, subscribers_max=10
    )
    http = make_client("booking", routers(context), fast_paths(context) if short else ())
    show = await harness.schedule(scheduled())
    hold = await harness.hold(show, "A1", "A2")
    path = f"/api/booking/shows/{show.show_id}/live"
    asking = asyncio.create_task(http.get(path, headers={"Last-Event-ID": "nonsense"}))
    while not context.hub.subscriber_count:  # noqa: ASYNC110 the request has no other sign
        await asyncio.sleep(0)
    context.hub.seats_released(await harness.release(hold))
    await context.hub.close()
    answer: httpx.Response = await asking
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = [chunk.encode() for chunk in answer.text.split("\n\n") if "data:" in chunk]
    assert parse(chunks[0])[1]["seats"] == {"A1": "held", "A2": "held"}
    assert (await http.get(path)).status_code == 503
