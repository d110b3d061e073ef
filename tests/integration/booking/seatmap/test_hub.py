"""Live seat maps: patched by events that may be late, lost or twice; healed by the database."""

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
from cinesync.booking.context import Shop
from cinesync.booking.fast_path import fast_paths
from cinesync.booking.model import HoldSeats, NotTogether, Terms, UnknownShow
from cinesync.booking.routes import router
from cinesync.booking.seatmap import hub as live_module
from cinesync.booking.seatmap import state as feeds
from cinesync.booking.seatmap.hub import Live, TooManyListeners
from cinesync.booking.seatmap.state import Feed, Snapshot, Taken
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    SeatsHeld,
    SeatsReleased,
)
from tests.conftest import MakeClient
from tests.support.booking import CLIENTS, BoxOffice, row, scheduled
from tests.unit.booking.test_model import SHOW

SHOW_ID = SHOW.show_id
HALL = seating.arrange(row("A", 6))
ALICE, BOB = UUID(int=1, version=4), UUID(int=2, version=4)
LATER = clock.now() + timedelta(minutes=10)


class Database:
    """What the loader answers, and a gate to hold it up."""

    def __init__(self) -> None:
        self.show = SHOW
        self.taken: dict[str, Taken] = {}
        self.reads = 0
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def load(self, show_id: UUID) -> Snapshot | None:
        self.reads += 1
        snapshot = Snapshot(self.show, HALL, dict(self.taken))
        await self.is_open.wait()
        return snapshot if show_id == SHOW_ID else None


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def live(database: Database) -> Live:
    return Live(database.load, listeners_max=2)


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


async def states(live: Live) -> dict[str, str]:
    _, body = await live.seat_map(SHOW_ID, Feed.states)
    found: dict[str, str] = msgspec.json.decode(body.plain)
    return found


async def version_of(live: Live) -> int:
    return (await live.seat_map(SHOW_ID, Feed.states))[0]


def parse(chunk: bytes) -> tuple[str, dict[str, Any]]:
    """The name and body of a server-sent event whose id is its version."""
    name, event_id, data = chunk.decode().strip().split("\n")
    body: dict[str, Any] = msgspec.json.decode(data.removeprefix("data: "))
    assert event_id == f"id: {body['version']}"
    return name.removeprefix("event: "), body


def changes(chunk: bytes) -> list[dict[str, str]]:
    """The seats of each of several events."""
    return [parse(part)[1]["seats"] for part in chunk.split(b"\n\n") if part]


async def opened(live: Live, since: int | None = None) -> AsyncIterator[bytes]:
    """A stream whose first chunk, the pause before a retry, has been read."""
    stream = await live.listen(SHOW_ID, since)
    assert await anext(stream) == b"retry: 2000\n\n"
    return stream


async def test_seats_show_as_what_became_of_them(live: Live) -> None:
    assert await states(live) == {}
    live.seats_held(held(ALICE, "A1", "A2"))
    live.seats_held(held(BOB, "A3"))
    assert await states(live) == {"A1": "held", "A2": "held", "A3": "held"}
    live.bookings_confirmed(confirmed(ALICE, "A1", "A2"))
    live.seats_released(released(BOB, "A3"))
    assert await states(live) == {"A1": "booked", "A2": "booked"}
    live.bookings_cancelled(cancelled(ALICE, "A1", "A2"))
    assert await states(live) == {}


async def test_a_change_grows_the_version_and_news_of_nothing_new_does_not(live: Live) -> None:
    first = await version_of(live)
    live.seats_held(held(ALICE, "A1"))
    second = await version_of(live)
    live.seats_held(held(ALICE, "A1"))
    assert first < second == await version_of(live) < 2**53


async def test_late_news_does_not_undo_what_came_after(live: Live) -> None:
    await states(live)
    live.seats_released(released(ALICE, "A1"))
    live.seats_held(held(ALICE, "A1"))
    assert await states(live) == {}
    live.bookings_confirmed(confirmed(BOB, "A2"))
    live.seats_held(held(BOB, "A2"))
    live.seats_released(released(BOB, "A2"))
    live.seats_released(released(ALICE, "A2"))
    live.bookings_cancelled(cancelled(ALICE, "A2"))
    assert await states(live) == {"A2": "booked"}


async def test_late_money_revives_a_hold_that_was_over(live: Live) -> None:
    await states(live)
    live.seats_released(released(ALICE, "A1"))
    live.bookings_confirmed(confirmed(ALICE, "A1"))
    assert await states(live) == {"A1": "booked"}


async def test_held_seats_come_free_when_their_time_is_over(live: Live) -> None:
    stream = await opened(live, await version_of(live))
    live.seats_held(held(ALICE, "A1"))
    live.bookings_confirmed(confirmed(BOB, "A2"))
    live.run_out(LATER - timedelta(seconds=1))
    assert await states(live) == {"A1": "held", "A2": "booked"}
    live.run_out(LATER)
    assert await states(live) == {"A2": "booked"}
    told = changes(await anext(stream))
    assert told == [{"A1": "held"}, {"A2": "booked"}, {"A1": "free"}]


async def test_a_listener_without_a_version_gets_everything(live: Live) -> None:
    live.seats_held(held(ALICE, "A1"))  # nobody has asked for the show yet
    await states(live)
    live.seats_held(held(ALICE, "A1"))
    name, body = parse(await anext(await opened(live)))
    assert (name, body["seats"]) == ("snapshot", {"A1": "held"})


async def test_a_listener_with_a_version_gets_what_it_missed(live: Live) -> None:
    start = await version_of(live)
    live.seats_held(held(ALICE, "A1"))
    middle = await version_of(live)
    live.seats_held(held(BOB, "A2"))
    stream = await opened(live, start)
    assert parse(await anext(stream)) == ("seats", {"version": middle, "seats": {"A1": "held"}})
    assert parse(await anext(stream))[1]["seats"] == {"A2": "held"}
    resumed = await opened(live, middle)
    assert parse(await anext(resumed))[1]["seats"] == {"A2": "held"}


async def test_a_version_that_is_too_old_or_another_processs_gets_everything(
    live: Live, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RING_MAX", 3)
    start = await version_of(live)
    for number in range(1, 6):
        live.seats_held(held(ALICE, f"A{number}"))
    name, body = parse(await anext(await opened(live, start)))
    assert (name, len(body["seats"])) == ("snapshot", 5)
    other = Live(database.load, listeners_max=1)
    assert parse(await anext(await opened(other, await version_of(live))))[0] == "snapshot"


async def test_lost_news_is_made_up_for_by_the_database(live: Live, database: Database) -> None:
    live_version = await version_of(live)
    stream = await opened(live, live_version)
    live.seats_held(held(BOB, "A2"))
    database.taken = {"A1": Taken(ALICE, None), "A2": Taken(BOB, LATER)}
    await live.resync()
    assert await states(live) == {"A1": "booked", "A2": "held"}
    assert changes(await anext(stream)) == [{"A2": "held"}, {"A1": "booked"}]


async def test_news_that_comes_while_the_database_is_read_is_not_lost(
    live: Live, database: Database
) -> None:
    database.is_open.clear()
    asking = asyncio.create_task(states(live))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    live.seats_held(held(ALICE, "A1"))
    database.is_open.set()
    assert await asking == {"A1": "held"}
    database.is_open.clear()
    healing = asyncio.create_task(live.resync())
    await asyncio.sleep(0)
    live.bookings_confirmed(confirmed(ALICE, "A1"))
    database.is_open.set()
    await healing
    assert await states(live) == {"A1": "booked"}


async def test_a_show_is_read_once_however_many_ask(live: Live, database: Database) -> None:
    await asyncio.gather(*(states(live) for _ in range(10)))
    assert database.reads == 1


async def test_an_unknown_show_is_not_found_and_not_kept(live: Live, database: Database) -> None:
    for _ in range(2):
        with pytest.raises(UnknownShow):
            await live.seat_map(BOB, Feed.states)
    assert database.reads == 2


async def test_what_nobody_looks_at_is_forgotten(
    live: Live, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await states(live)
    await live.resync()
    assert database.reads == 2
    monkeypatch.setattr(live_module, "RESYNC_SECONDS", -1.0)
    await live.resync()
    assert database.reads == 2
    await states(live)
    assert database.reads == 3


async def test_a_changed_show_ends_its_streams_and_is_read_anew(
    live: Live, database: Database
) -> None:
    stream = await opened(live, await version_of(live))
    database.show = replace(SHOW, revision=1)
    await live.resync()
    assert await anext(stream) == b"event: show\ndata: {}\n\n"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert database.reads == 2
    await states(live)
    assert database.reads == 3


async def test_news_of_a_changed_show_does_the_same_at_once(live: Live) -> None:
    stream = await opened(live, await version_of(live))
    live.shows_changed([*held(ALICE, "A1")])
    assert await anext(stream) == b"event: show\ndata: {}\n\n"
    live.shows_changed([*held(ALICE, "A1")])


async def test_listeners_are_bounded(live: Live) -> None:
    streams = [await opened(live) for _ in range(2)]
    with pytest.raises(TooManyListeners):
        await live.listen(SHOW_ID, None)
    await streams[0].aclose()  # type: ignore[attr-defined]
    await opened(live)


async def test_a_slow_listener_is_dropped_and_can_resume(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LISTENER_WAITING_MAX", 2)
    start = await version_of(live)
    slow, quick = await opened(live, start), await opened(live, start)
    for number in range(1, 4):
        live.seats_held(held(ALICE, f"A{number}"))
        await anext(quick)
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    again = await opened(live, start)
    assert [parse(await anext(again))[1]["seats"] for _ in range(3)] == [
        {"A1": "held"},
        {"A2": "held"},
        {"A3": "held"},
    ]


async def test_a_silent_line_is_kept_open(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(live_module, "HEARTBEAT_SECONDS", 0.0)
    stream = await opened(live, await version_of(live))
    loop = asyncio.create_task(live.run())
    assert (await anext(stream)).startswith(b":")
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_a_line_that_is_not_silent_needs_no_heartbeat(live: Live) -> None:
    stream = await opened(live, await version_of(live))
    live.seats_held(held(ALICE, "A1"))
    await live.beat()
    assert b": still here" not in await anext(stream)


async def test_what_waits_is_sent_at_once(live: Live) -> None:
    stream = await opened(live, await version_of(live))
    live.seats_held(held(ALICE, "A1"))
    live.seats_held(held(BOB, "A2"))
    assert changes(await anext(stream)) == [{"A1": "held"}, {"A2": "held"}]


async def test_closing_ends_every_stream_and_opens_none(live: Live) -> None:
    waiting = await opened(live, await version_of(live))
    ending = asyncio.create_task(_rest(waiting))
    await asyncio.sleep(0)
    await live.close()
    assert await ending == []
    with pytest.raises(TooManyListeners):
        await live.listen(SHOW_ID, None)


async def _rest(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in stream]


async def test_there_is_room_for_so_many_shows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(show_id: UUID) -> Snapshot:
        return Snapshot(replace(SHOW, show_id=show_id), HALL, {})

    monkeypatch.setattr(live_module, "FEEDS_MAX", 1)
    live = Live(load, listeners_max=2)
    watched = await live.listen(ALICE, None)
    await anext(watched)
    first, _ = await live.seat_map(ALICE, Feed.states)
    await live.seat_map(BOB, Feed.states)
    await live.seat_map(SHOW_ID, Feed.states)
    assert (await live.seat_map(ALICE, Feed.states))[0] == first


def wish(best: int) -> HoldSeats:
    return HoldSeats(
        hold_id=clock.new_id(),
        customer_id=clock.new_id(),
        is_guest=True,
        show_id=SHOW_ID,
        email_key=clock.new_id(),
        best=best,
    )


async def test_a_refusal_is_kept_until_a_seat_comes_free(live: Live) -> None:
    live.refused(wish(4), NotTogether(), await version_of(live))
    assert isinstance(live.refusal(SHOW_ID, wish(4).choice), NotTogether)
    assert live.refusal(SHOW_ID, wish(3).choice) is None
    live.seats_held(held(ALICE, "A1"))
    assert live.refusal(SHOW_ID, wish(4).choice) is not None
    live.seats_released(released(ALICE, "A1"))
    assert live.refusal(SHOW_ID, wish(4).choice) is None


async def test_a_refusal_that_offers_other_seats_is_kept_until_any_seat_changes(
    live: Live,
) -> None:
    live.refused(wish(4), NotTogether(alternatives=[["A1"]]), await version_of(live))
    assert live.refusal(SHOW_ID, wish(4).choice) is not None
    live.seats_held(held(ALICE, "A1"))
    assert live.refusal(SHOW_ID, wish(4).choice) is None


@pytest.mark.parametrize("offer", [[], [["A2"]]])
async def test_a_refusal_from_before_a_change_is_not_kept(
    live: Live, offer: list[list[str]]
) -> None:
    await states(live)
    live.seats_held(held(ALICE, "A1"))
    version = await version_of(live)
    live.seats_released(released(ALICE, "A1"))
    live.refused(wish(4), NotTogether(alternatives=offer), version)
    assert live.refusal(SHOW_ID, wish(4).choice) is None


async def test_a_refusal_from_before_the_seat_map_was_loaded_anew_is_not_kept(
    live: Live,
) -> None:
    version = await version_of(live)
    live.shows_changed([*held(ALICE, "A1")])
    assert await version_of(live) > version
    live.refused(wish(4), NotTogether(), version)
    assert live.refusal(SHOW_ID, wish(4).choice) is None


async def test_a_refusal_outlives_no_look_at_the_database(live: Live) -> None:
    live.refused(wish(4), NotTogether(), await version_of(live))
    await live.resync()
    assert live.refusal(SHOW_ID, wish(4).choice) is None


async def test_a_refusal_loads_the_seat_map_for_those_to_come(
    live: Live, database: Database
) -> None:
    live.refused(wish(4), NotTogether(), None)
    assert live.refusal(SHOW_ID, wish(4).choice) is None
    version = await version_of(live)
    assert database.reads == 1
    live.refused(wish(4), NotTogether(), version)
    assert live.refusal(SHOW_ID, wish(4).choice) is not None


async def test_no_more_refusals_are_kept_than_said(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "REFUSALS_MAX", 2)
    version = await version_of(live)
    for best in (1, 2, 3):
        live.refused(wish(best), NotTogether(), version)
    assert [live.refusal(SHOW_ID, wish(best).choice) is not None for best in (1, 2, 3)] == [
        True,
        True,
        False,
    ]


async def test_the_loop_frees_and_heals_by_itself(
    live: Live, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(live_module, "RESYNC_SECONDS", 0.0)
    stream = await opened(live, await version_of(live))
    database.taken = {"A1": Taken(ALICE, None)}
    loop = asyncio.create_task(live.run())
    assert parse(await anext(stream))[1]["seats"] == {"A1": "booked"}
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.parametrize("short", [True, False])
async def test_the_stream_is_served_over_http(
    office: BoxOffice, make_client: MakeClient, *, short: bool
) -> None:
    shop = Shop(office.db, Terms(), TicketSigner("a secret"), CLIENTS, listeners_max=10)
    http = make_client("booking", [router(shop)], fast_paths(shop) if short else ())
    show = await office.schedule(scheduled())
    hold = await office.hold(show, "A1", "A2")
    path = f"/api/booking/shows/{show.show_id}/live"
    asking = asyncio.create_task(http.get(path, headers={"Last-Event-ID": "nonsense"}))
    while not shop.live.listener_count:  # noqa: ASYNC110 the request has no other sign
        await asyncio.sleep(0)
    shop.live.seats_released(await office.release(hold))
    await shop.live.close()
    answer: httpx.Response = await asking
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = [chunk.encode() for chunk in answer.text.split("\n\n") if "data:" in chunk]
    assert parse(chunks[0])[1]["seats"] == {"A1": "held", "A2": "held"}
    assert (await http.get(path)).status_code == 503
