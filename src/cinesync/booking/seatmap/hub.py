"""Live seat maps of one process: kept in memory, patched by events, healed by the database."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec
from cachetools import LRUCache

from cinesync.booking.model import (
    BookingError,
    Choice,
    HoldSeats,
    NotTogether,
    SeatTaken,
    Show,
    UnknownShow,
)
from cinesync.booking.seatmap.state import (
    Changed,
    Feed,
    Free,
    Listener,
    News,
    Snapshot,
    Take,
    Taken,
)
from cinesync.chassis import background, clock
from cinesync.chassis.http.content_encoding import SharedBody
from cinesync.chassis.problems import TooMany, Unavailable
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    SeatsHeld,
    SeatsReleased,
)

FEEDS_MAX = 500
PER_ADDRESS_MAX = 500  # a school behind one address; who is refused polls
RETRY_SECONDS = 5
OVER_MAX = 10_000
HEARTBEAT_SECONDS = 15.0
BEATS_AT_ONCE = 100  # or else nobody hears of a seat while thousands are told that nothing happened
BEAT_PAUSE_SECONDS = 0.01
STILL_HERE = b": still here\n\n"
TICK_SECONDS = 1.0
RESYNC_SECONDS = 5.0
RETRY = b"retry: 2000\n\n"
FETCH_ANEW = b"event: show\ndata: {}\n\n"

# A version is milliseconds since 1970 above these bits and the process's own number in them: it
# grows, it fits a JavaScript number, and no process takes another's for its own.
PROCESS_BITS = 12

Load = Callable[[UUID], Awaitable[Snapshot | None]]


class TooManyListeners(Unavailable):
    """Too many people watch seat maps here; please poll instead."""


class TooManyListenersHere(TooMany):
    """Too many seat maps are watched from your address; please poll instead."""


class AboutShow(Protocol):
    """What all events about a show have."""

    @property
    def show_id(self) -> UUID: ...


class Live:
    """Events reach it at most once and in any order; `resync` makes up for that."""

    def __init__(
        self, load: Load, *, listeners_max: int, listeners_per_address_max: int = PER_ADDRESS_MAX
    ) -> None:
        self._load = load
        self._listeners_max = listeners_max
        self._listeners_per_address_max = listeners_per_address_max
        self._listeners_at: Counter[str] = Counter()
        self._feeds: OrderedDict[UUID, Feed] = OrderedDict()
        self._loading: dict[UUID, asyncio.Task[Feed]] = {}
        self._early: dict[UUID, list[News]] = {}
        self._over: LRUCache[UUID, None] = LRUCache(OVER_MAX)
        self._number = clock.new_id().int % (1 << PROCESS_BITS)
        self._milliseconds = 0
        self.listener_count = 0
        self._closed = False

    async def seat_map(
        self, show_id: UUID, render: Callable[[Feed], Any]
    ) -> tuple[int, SharedBody]:
        """Version and JSON, encoded once for each version. Raises UnknownShow."""
        feed = await self._feed(show_id)
        if feed.body is None:
            feed.body = SharedBody(msgspec.json.encode(render(feed)))
        return feed.version, feed.body

    async def listen(
        self, show_id: UUID, since: int | None, address: str = ""
    ) -> AsyncIterator[bytes]:
        """Server-sent events from version `since` on, for a client at `address`.

        Raises UnknownShow, TooManyListeners, TooManyListenersHere.
        """
        feed = await self._feed(show_id)
        if self._closed or self.listener_count >= self._listeners_max:
            raise TooManyListeners(retry_after_seconds=RETRY_SECONDS)
        if self._listeners_at[address] >= self._listeners_per_address_max:
            raise TooManyListenersHere(retry_after_seconds=RETRY_SECONDS)
        return self._stream(feed, since, address)

    async def _stream(self, feed: Feed, since: int | None, address: str) -> AsyncIterator[bytes]:
        listener = Listener()
        feed.listeners.add(listener)
        self.listener_count += 1
        self._listeners_at[address] += 1
        is_current = self._feeds.get(feed.show.show_id) is feed
        try:
            for chunk in [RETRY, *feed.catch_up(since)]:
                yield chunk
            while is_current and not self._closed:
                message = await listener.next()
                if message is None:
                    return
                yield message
        finally:
            feed.listeners.discard(listener)
            self.listener_count -= 1
            self._listeners_at[address] -= 1
            if not self._listeners_at[address]:
                del self._listeners_at[address]

    # What those who hold seats ask and tell.

    def refusal(self, show_id: UUID, choice: Choice) -> BookingError | None:
        """Why this choice was refused a moment ago, if nothing has changed about that."""
        feed = self._asked(show_id)
        return feed.refusals.get(choice) if feed is not None else None

    def expect(self, show_ids: Iterable[UUID]) -> None:
        """Many ask for seats here at once: have the seat maps by the time that some are refused."""
        for show_id in show_ids:
            if self._asked(show_id) is None:
                self._opening(show_id)

    def versions(self, show_ids: Iterable[UUID]) -> dict[UUID, int]:
        """Of those that are kept here."""
        feeds = {show_id: self._feeds.get(show_id) for show_id in show_ids}
        return {show_id: feed.version for show_id, feed in feeds.items() if feed is not None}

    def refused(self, wish: HoldSeats, reason: object, version: int | None) -> None:
        """The database refused `wish` when the seat map was at `version`, or was not here: then it
        is loaded, because more will ask.
        """
        if not isinstance(reason, SeatTaken | NotTogether):
            return  # it is about the customer or the hour, not about the seats
        feed = self._feeds.get(wish.show_id)
        if feed is None:
            self._opening(wish.show_id)
        elif version is not None:
            feed.refuse(wish.choice, reason, version)

    def watched(self, show_id: UUID) -> Feed | None:
        """The seats of a show, if they are kept here and so true by now; nobody is counted as
        asking for them."""
        return self._feeds.get(show_id)

    # What the bus calls, in every process.

    def seats_held(self, events: Sequence[SeatsHeld]) -> None:
        """Held, unless that hold is known to be over."""
        for event in events:
            if event.hold_id not in self._over:
                self._tell(event, Take(event.seats, Taken(event.hold_id, event.expires_at)))

    def seats_released(self, events: Sequence[SeatsReleased]) -> None:
        """Free, unless they are another's by now, or paid for."""
        for event in events:
            if not event.hold_goes_on:
                self._end(event.hold_id)
            self._tell(event, Free(event.seats, event.hold_id, booked=False))

    def bookings_confirmed(self, events: Sequence[BookingConfirmed]) -> None:
        """Booked, whatever they were."""
        for event in events:
            self._tell(event, Take(event.seats, Taken(event.booking_id, None)))

    def bookings_cancelled(self, events: Sequence[BookingCancelled | BookingReduced]) -> None:
        """Free, unless they are another's by now."""
        for event in events:
            self._end(event.booking_id)
            self._tell(event, Free(event.seats, event.booking_id, booked=True))

    def shows_changed(self, events: Sequence[AboutShow]) -> None:
        """Times, prices or the show itself: all of it is read anew."""
        for event in events:
            feed = self._feeds.get(event.show_id)
            if feed is not None:
                self._drop(feed)

    # What the process does by itself.

    async def run(self) -> None:
        """Free what ran out every second, resync every few, then beat; until cancelled."""
        resync_at = clock.monotonic_seconds() + RESYNC_SECONDS
        beat_at = clock.monotonic_seconds() + HEARTBEAT_SECONDS
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.run_out(clock.now())
            if clock.monotonic_seconds() >= resync_at:
                await self.resync()
                resync_at = clock.monotonic_seconds() + RESYNC_SECONDS
            if clock.monotonic_seconds() >= beat_at:
                await self.beat()
                beat_at = clock.monotonic_seconds() + HEARTBEAT_SECONDS
            background.succeeded()

    def run_out(self, now: datetime) -> None:
        """Free the seats whose holds ran out, without being told."""
        for feed in self._feeds.values():
            self._publish(feed, feed.run_out(now))

    async def resync(self) -> None:
        """Make what is watched what the database says; forget what nobody looks at."""
        asked_after = clock.monotonic_seconds() - RESYNC_SECONDS
        for feed in list(self._feeds.values()):
            if feed.listeners or feed.asked_at >= asked_after:
                await self._reload(feed)
            else:
                self._feeds.pop(feed.show.show_id, None)

    async def beat(self) -> None:
        """Say something to those who heard nothing, so that proxies keep the line open."""
        everybody = [listener for feed in self._feeds.values() for listener in feed.listeners]
        for first in range(0, len(everybody), BEATS_AT_ONCE):
            for listener in everybody[first : first + BEATS_AT_ONCE]:
                if listener.is_idle:
                    listener.tell(STILL_HERE)
            await asyncio.sleep(BEAT_PAUSE_SECONDS)

    async def close(self) -> None:
        """End every stream: an open one would keep the server from stopping."""
        self._closed = True
        for feed in self._feeds.values():
            for listener in feed.listeners:
                listener.end()

    async def _feed(self, show_id: UUID) -> Feed:
        """Loaded once, however many ask."""
        feed = self._asked(show_id)
        return feed if feed is not None else await asyncio.shield(self._opening(show_id))

    def _asked(self, show_id: UUID) -> Feed | None:
        """What is kept here; somebody wants it."""
        feed = self._feeds.get(show_id)
        if feed is not None:
            feed.asked_at = clock.monotonic_seconds()
            self._feeds.move_to_end(show_id)
        return feed

    def _opening(self, show_id: UUID) -> asyncio.Task[Feed]:
        task = self._loading.get(show_id)
        if task is None:
            task = self._loading[show_id] = asyncio.create_task(self._open(show_id))
            task.add_done_callback(lambda done: self._opened(show_id, done))
        return task

    def _opened(self, show_id: UUID, done: asyncio.Task[Feed]) -> None:
        self._loading.pop(show_id, None)
        if not done.cancelled():
            done.exception()  # told to whoever waits, who may be nobody

    async def _open(self, show_id: UUID) -> Feed:
        self._early[show_id] = []
        try:
            snapshot = await self._load(show_id)
        finally:
            early = self._early.pop(show_id)
        if snapshot is None:
            raise UnknownShow
        feed = Feed(snapshot.show, snapshot.hall, dict(snapshot.taken), self._next_version())
        for news in early:
            feed.apply(news)
        self._feeds[show_id] = feed
        self._make_room()
        return feed

    async def _reload(self, feed: Feed) -> None:
        feed.replay = []
        try:
            snapshot = await self._load(feed.show.show_id)
        finally:
            replay, feed.replay = feed.replay, None
        if snapshot is None or _terms_of(snapshot.show) != _terms_of(feed.show):
            self._drop(feed)
            return
        feed.refusals.clear()  # what they rest on may be news that never came
        self._publish(feed, feed.heal(snapshot.taken))
        for news in replay:
            self._publish(feed, feed.apply(news))

    def _tell(self, event: AboutShow, news: News) -> None:
        if event.show_id in self._early:
            self._early[event.show_id].append(news)
        feed = self._feeds.get(event.show_id)
        if feed is not None:
            self._publish(feed, feed.apply(news))

    def _publish(self, feed: Feed, changed: Changed) -> None:
        if changed:
            feed.publish(self._next_version(), changed)

    def _drop(self, feed: Feed) -> None:
        """Its listeners are told to fetch the seat map anew, and come back."""
        self._feeds.pop(feed.show.show_id, None)
        for listener in feed.listeners:
            listener.end(FETCH_ANEW)

    def _make_room(self) -> None:
        """Unwatched shows go; of watched ones there are no more than listeners."""
        surplus = max(len(self._feeds) - FEEDS_MAX, 0)
        older = list(self._feeds)[:-1]
        unwatched = [show_id for show_id in older if not self._feeds[show_id].listeners]
        for show_id in unwatched[:surplus]:
            del self._feeds[show_id]

    def _end(self, booking_id: UUID) -> None:
        """From now on, news that this hold began is old."""
        self._over[booking_id] = None

    def _next_version(self) -> int:
        now = int(clock.now().timestamp() * 1000)
        self._milliseconds = max(now, self._milliseconds + 1)
        return self._milliseconds << PROCESS_BITS | self._number


def _terms_of(show: Show) -> tuple[int, bool]:
    return show.revision, show.cancelled
