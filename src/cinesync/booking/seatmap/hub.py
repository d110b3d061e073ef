"""The live seat maps of one process: kept in memory, patched by events, corrected by the database.

A process keeps a `SeatMapState` for each show that somebody has looked at lately. The bus calls the
hub in every process with each event about seats; the process that commits a hold also calls it
directly, before it answers. An event changes the state, gives it a new version, and goes to every
subscriber as a server-sent event.

Events arrive at most once, in any order, and late. These rules keep a seat map right all the same:

- A seat that is freed must still belong to the hold or booking that the event names; a booked seat
  is never turned back into a held one by a late `seats.held`.
- Holds that are known to have ended are remembered for a while (`_ended_holds`), so that a late
  `seats.held` does not revive them.
- While a snapshot is read from the database, events are collected and applied again after it: they
  may be older or newer than the snapshot, and applying one twice does no harm.
- Every few seconds each watched map is read anew, which makes up for lost events. A map that nobody
  uses is dropped.
- Expired holds are freed by the clock, without an event.

A version is the milliseconds since 1970 above PROCESS_BITS bits of a process number: it grows, it
fits a JavaScript number, and no process takes another's version for its own. A client that
reconnects with a version that this process published gets what it missed; any other client gets a
snapshot. When the show itself changes, its map is dropped and a message makes its subscribers fetch
it again.

The hub also remembers refusals: selections that the database refused and that no later change of
the map has made possible. During a rush they spare a transaction for most commands.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from cachetools import LRUCache

from cinesync.booking.model import (
    BookingError,
    HoldSeats,
    NotTogether,
    SeatSelection,
    SeatTaken,
    UnknownShow,
)
from cinesync.booking.seatmap.state import (
    SeatChange,
    SeatMapSnapshot,
    SeatMapState,
    SeatOccupancy,
    SeatsFreed,
    SeatsTaken,
    SeatStates,
)
from cinesync.booking.seatmap.subscriber import Subscriber
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

SEAT_MAPS_MAX: Final = 500
PER_ADDRESS_MAX: Final = 500  # a school behind one address; browsers that are refused poll
RETRY_SECONDS: Final = 5
ENDED_HOLDS_MAX: Final = 10_000
HEARTBEAT_SECONDS: Final = 15.0
# Heartbeats go out in groups, so that thousands of them do not delay a change of seats.
HEARTBEATS_AT_ONCE: Final = 100
HEARTBEAT_PAUSE_SECONDS: Final = 0.01
HEARTBEAT: Final = b": still here\n\n"
TICK_SECONDS: Final = 1.0
RESYNC_SECONDS: Final = 5.0
RETRY: Final = b"retry: 2000\n\n"
FETCH_AGAIN: Final = b"event: show\ndata: {}\n\n"
PROCESS_BITS: Final = 12

LoadSnapshot = Callable[[UUID], Awaitable[SeatMapSnapshot | None]]


class TooManyListeners(Unavailable):
    """Too many people watch seat maps here; please poll instead."""


class TooManyListenersHere(TooMany):
    """Too many seat maps are watched from your address; please poll instead."""


class AboutShow(Protocol):
    """Any event about a show."""

    @property
    def show_id(self) -> UUID: ...


class SeatMapHub:
    """One per process. `load` reads a snapshot from the database."""

    def __init__(
        self,
        load: LoadSnapshot,
        *,
        subscribers_max: int,
        subscribers_per_address_max: int = PER_ADDRESS_MAX,
    ) -> None:
        self._load = load
        self._subscribers_max = subscribers_max
        self._subscribers_per_address_max = subscribers_per_address_max
        self._subscribers_at: Counter[str] = Counter()
        self._states: OrderedDict[UUID, SeatMapState] = OrderedDict()
        self._loading: dict[UUID, asyncio.Task[SeatMapState]] = {}
        self._early: dict[UUID, list[SeatChange]] = {}
        self._ended_holds: LRUCache[UUID, None] = LRUCache(ENDED_HOLDS_MAX)
        self._process_number = clock.new_id().int % (1 << PROCESS_BITS)
        self._milliseconds = 0
        self.subscriber_count = 0
        self._closed = False

    async def seat_map(
        self, show_id: UUID, render: Callable[[SeatMapState], Any]
    ) -> tuple[int, SharedBody]:
        """Version and JSON, rendered once for each version. Raises UnknownShow."""
        state = await self._state(show_id)
        if state.body is None:
            state.body = SharedBody(msgspec.json.encode(render(state)))
        return state.version, state.body

    async def subscribe(
        self, show_id: UUID, since: int | None, address: str = ""
    ) -> AsyncIterator[bytes]:
        """Server-sent events from version `since` on, for a client at `address`.

        Raises UnknownShow, TooManyListeners, TooManyListenersHere.
        """
        state = await self._state(show_id)
        if self._closed or self.subscriber_count >= self._subscribers_max:
            raise TooManyListeners(retry_after_seconds=RETRY_SECONDS)
        if self._subscribers_at[address] >= self._subscribers_per_address_max:
            raise TooManyListenersHere(retry_after_seconds=RETRY_SECONDS)
        return self._stream(state, since, address)

    async def _stream(
        self, state: SeatMapState, since: int | None, address: str
    ) -> AsyncIterator[bytes]:
        subscriber = Subscriber()
        state.subscribers.add(subscriber)
        self.subscriber_count += 1
        self._subscribers_at[address] += 1
        is_current = self._states.get(state.show.show_id) is state
        try:
            for chunk in [RETRY, *state.events_since(since)]:
                yield chunk
            while is_current and not self._closed:
                message = await subscriber.next()
                if message is None:
                    return
                yield message
        finally:
            state.subscribers.discard(subscriber)
            self.subscriber_count -= 1
            self._subscribers_at[address] -= 1
            if not self._subscribers_at[address]:
                del self._subscribers_at[address]

    # For the batches of holds.

    def refusal(self, show_id: UUID, selection: SeatSelection) -> BookingError | None:
        """Why the database refused this selection, if no change since has made it possible."""
        state = self._used(show_id)
        return state.refusals.get(selection) if state is not None else None

    def preload(self, show_ids: Iterable[UUID]) -> None:
        """Start loading these seat maps: many commands for them arrive."""
        for show_id in show_ids:
            if self._used(show_id) is None:
                self._start_loading(show_id)

    def versions(self, show_ids: Iterable[UUID]) -> dict[UUID, int]:
        """The versions of those that are in memory."""
        states = {show_id: self._states.get(show_id) for show_id in show_ids}
        return {show_id: state.version for show_id, state in states.items() if state is not None}

    def note_refusal(self, hold: HoldSeats, reason: object, version: int | None) -> None:
        """Remember a refusal for its seats. `version` is the seat map's version from before the
        transaction; without one the map is loaded, because more commands will come."""
        if not isinstance(reason, SeatTaken | NotTogether):
            return  # it is about the customer or the time, not about the seats
        state = self._states.get(hold.show_id)
        if state is None:
            self._start_loading(hold.show_id)
        elif version is not None:
            state.refuse(hold.selection, reason, version)

    def find(self, show_id: UUID) -> SeatMapState | None:
        """The seat map if it is in memory. This does not count as a use."""
        return self._states.get(show_id)

    # For the bus.

    def seats_held(self, events: Sequence[SeatsHeld]) -> None:
        """The seats are held, unless the hold is known to have ended."""
        for event in events:
            if event.hold_id not in self._ended_holds:
                occupancy = SeatOccupancy(event.hold_id, event.expires_at)
                self._apply(event, SeatsTaken(event.seats, occupancy))

    def seats_released(self, events: Sequence[SeatsReleased]) -> None:
        """The seats are free, unless somebody else has them or they are paid for."""
        for event in events:
            if not event.hold_goes_on:
                self._end_hold(event.hold_id)
            self._apply(event, SeatsFreed(event.seats, event.hold_id, booked=False))

    def bookings_confirmed(self, events: Sequence[BookingConfirmed]) -> None:
        """The seats are booked, whatever they were."""
        for event in events:
            self._apply(event, SeatsTaken(event.seats, SeatOccupancy(event.booking_id, None)))

    def bookings_cancelled(self, events: Sequence[BookingCancelled | BookingReduced]) -> None:
        """The seats are free, unless somebody else has them."""
        for event in events:
            self._end_hold(event.booking_id)
            self._apply(event, SeatsFreed(event.seats, event.booking_id, booked=True))

    def shows_changed(self, events: Sequence[AboutShow]) -> None:
        """Times, prices or the show itself changed: the seat map is loaded again on demand."""
        for event in events:
            state = self._states.get(event.show_id)
            if state is not None:
                self._drop(state)

    # In the background.

    async def run(self) -> None:
        """Expire holds every second, resync and send heartbeats every few; until cancelled."""
        resync_at = clock.monotonic_seconds() + RESYNC_SECONDS
        heartbeat_at = clock.monotonic_seconds() + HEARTBEAT_SECONDS
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.expire_holds(clock.now())
            if clock.monotonic_seconds() >= resync_at:
                await self.resync()
                resync_at = clock.monotonic_seconds() + RESYNC_SECONDS
            if clock.monotonic_seconds() >= heartbeat_at:
                await self.send_heartbeats()
                heartbeat_at = clock.monotonic_seconds() + HEARTBEAT_SECONDS
            background.succeeded()

    def expire_holds(self, now: datetime) -> None:
        """Free the seats of expired holds in every seat map."""
        for state in self._states.values():
            self._publish(state, state.expire_holds(now))

    async def resync(self) -> None:
        """Read the seat maps in use again; drop the others."""
        used_after = clock.monotonic_seconds() - RESYNC_SECONDS
        for state in list(self._states.values()):
            if state.subscribers or state.used_at >= used_after:
                await self._reload(state)
            else:
                self._states.pop(state.show.show_id, None)

    async def send_heartbeats(self) -> None:
        """A comment for every idle subscriber, so that proxies keep the connection open."""
        subscribers = [one for state in self._states.values() for one in state.subscribers]
        for first in range(0, len(subscribers), HEARTBEATS_AT_ONCE):
            for subscriber in subscribers[first : first + HEARTBEATS_AT_ONCE]:
                if subscriber.is_idle:
                    subscriber.send(HEARTBEAT)
            await asyncio.sleep(HEARTBEAT_PAUSE_SECONDS)

    async def close(self) -> None:
        """End every stream; an open one would keep the server from stopping."""
        self._closed = True
        for state in self._states.values():
            for subscriber in state.subscribers:
                subscriber.end()

    async def _state(self, show_id: UUID) -> SeatMapState:
        """The seat map, loaded once however many requests wait for it. Raises UnknownShow."""
        state = self._used(show_id)
        return state if state is not None else await asyncio.shield(self._start_loading(show_id))

    def _used(self, show_id: UUID) -> SeatMapState | None:
        """The seat map if it is in memory, marked as used."""
        state = self._states.get(show_id)
        if state is not None:
            state.used_at = clock.monotonic_seconds()
            self._states.move_to_end(show_id)
        return state

    def _start_loading(self, show_id: UUID) -> asyncio.Task[SeatMapState]:
        task = self._loading.get(show_id)
        if task is None:
            task = self._loading[show_id] = asyncio.create_task(self._load_state(show_id))
            task.add_done_callback(lambda done: self._finish_loading(show_id, done))
        return task

    def _finish_loading(self, show_id: UUID, done: asyncio.Task[SeatMapState]) -> None:
        self._loading.pop(show_id, None)
        if not done.cancelled():
            done.exception()  # raised to those who wait, who may be none

    async def _load_state(self, show_id: UUID) -> SeatMapState:
        self._early[show_id] = []
        try:
            snapshot = await self._load(show_id)
        finally:
            early = self._early.pop(show_id)
        if snapshot is None:
            raise UnknownShow
        state = SeatMapState(
            snapshot.show, snapshot.plan, dict(snapshot.taken), self._next_version()
        )
        for change in early:
            state.apply(change)
        self._states[show_id] = state
        self._evict()
        return state

    async def _reload(self, state: SeatMapState) -> None:
        state.replay = []
        try:
            snapshot = await self._load(state.show.show_id)
        finally:
            replay, state.replay = state.replay, None
        known = (state.show.revision, state.show.cancelled)
        if snapshot is None or (snapshot.show.revision, snapshot.show.cancelled) != known:
            self._drop(state)
            return
        state.refusals.clear()  # a lost event may have made them possible
        self._publish(state, state.replace_taken(snapshot.taken))
        for change in replay:
            self._publish(state, state.apply(change))

    def _apply(self, event: AboutShow, change: SeatChange) -> None:
        if event.show_id in self._early:
            self._early[event.show_id].append(change)
        state = self._states.get(event.show_id)
        if state is not None:
            self._publish(state, state.apply(change))

    def _publish(self, state: SeatMapState, changed: SeatStates) -> None:
        if changed:
            state.publish(self._next_version(), changed)

    def _drop(self, state: SeatMapState) -> None:
        """Its subscribers fetch the seat map again and reconnect."""
        self._states.pop(state.show.show_id, None)
        for subscriber in state.subscribers:
            subscriber.end(FETCH_AGAIN)

    def _evict(self) -> None:
        """Drop the least recently used seat maps above the limit, except those with subscribers."""
        surplus = max(len(self._states) - SEAT_MAPS_MAX, 0)
        older = list(self._states)[:-1]
        unwatched = [show_id for show_id in older if not self._states[show_id].subscribers]
        for show_id in unwatched[:surplus]:
            del self._states[show_id]

    def _end_hold(self, booking_id: UUID) -> None:
        """Ignore a `seats.held` of this hold from now on."""
        self._ended_holds[booking_id] = None

    def _next_version(self) -> int:
        now = int(clock.now().timestamp() * 1000)
        self._milliseconds = max(now, self._milliseconds + 1)
        return self._milliseconds << PROCESS_BITS | self._process_number
