"""The seats of one show as they change, and who watches them."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cinesync.booking.allocation.seating import Hall
from cinesync.booking.model import BookingError, Choice, Show
from cinesync.chassis import clock
from cinesync.chassis.http.content_encoding import SharedBody

RING_MAX = 500
LISTENER_WAITING_MAX = 100
REFUSALS_MAX = 100

FREE, HELD, BOOKED = "free", "held", "booked"


@dataclass(frozen=True, slots=True)
class Taken:
    """A seat that is not free; `held_until` is None once it is booked."""

    booking_id: UUID
    held_until: datetime | None

    @property
    def state(self) -> str:
        return BOOKED if self.held_until is None else HELD


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A show's seats as the database has them."""

    show: Show
    hall: Hall
    taken: Mapping[str, Taken]


@dataclass(frozen=True, slots=True)
class Take:
    """News: these seats are held or booked."""

    seats: Sequence[str]
    taken: Taken


@dataclass(frozen=True, slots=True)
class Free:
    """News: these seats are free, if they are still this booking's; booked ones if `booked`."""

    seats: Sequence[str]
    booking_id: UUID
    booked: bool


News = Take | Free
Changed = dict[str, str]


class Listener:
    """One open stream."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._ended = False
        self._awake = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether it has been given everything."""
        return not self._waiting

    @property
    def is_full(self) -> bool:
        """Whether it takes no more: it does not keep up."""
        return len(self._waiting) >= LISTENER_WAITING_MAX

    def tell(self, message: bytes) -> None:
        """Something to send."""
        self._waiting.append(message)
        self._awake.set()

    def end(self, last_words: bytes = b"") -> None:
        """Nothing that waits is worth sending: it comes back and catches up."""
        self._waiting = [last_words] if last_words else []
        self._ended = True
        self._awake.set()

    async def next(self) -> bytes | None:
        """All that waits, at once; None at the end."""
        await self._awake.wait()
        if self._waiting:
            message = b"".join(self._waiting)
            self._waiting.clear()
            if not self._ended:
                self._awake.clear()
            return message
        return None


@dataclass(slots=True, eq=False)
class Feed:
    """A seat map with its recent past. `body` is its JSON, once somebody asked for it; `refusals`
    are the choices that it cannot give anybody."""

    show: Show
    hall: Hall
    taken: dict[str, Taken]
    version: int
    ring: deque[tuple[int, Changed]] = field(default_factory=lambda: deque(maxlen=RING_MAX))
    body: SharedBody | None = None
    refusals: dict[Choice, BookingError] = field(default_factory=dict)
    freed_version: int = field(init=False)  # the last one in which a seat came free, or the first
    listeners: set[Listener] = field(default_factory=set)
    # News that comes while the database is read may be older or newer than its answer: it is
    # applied again after it.
    replay: list[News] | None = None
    asked_at: float = field(default_factory=clock.monotonic_seconds)

    def __post_init__(self) -> None:
        self.freed_version = self.version
        self.ring.append((self.version, {}))

    def apply(self, news: News) -> Changed:
        """The seats whose state it changes."""
        if self.replay is not None:
            self.replay.append(news)
        before = self._states_of(news.seats)
        if isinstance(news, Take):
            self._take(news)
        else:
            self._free(news)
        return self._since(before, news.seats)

    def _take(self, news: Take) -> None:
        for seat in news.seats:
            known = self.taken.get(seat)
            # The news of a hold may arrive after the news that it was paid.
            is_booked = known is not None and known.held_until is None
            if not is_booked or news.taken.held_until is None:
                self.taken[seat] = news.taken

    def _free(self, news: Free) -> None:
        for seat in news.seats:
            known = self.taken.get(seat)
            if known is None or known.booking_id != news.booking_id:
                continue
            if news.booked or known.held_until is not None:
                del self.taken[seat]

    def run_out(self, now: datetime) -> Changed:
        """Free what was held until now."""
        gone = [
            seat
            for seat, taken in self.taken.items()
            if taken.held_until is not None and taken.held_until <= now
        ]
        for seat in gone:
            del self.taken[seat]
        return dict.fromkeys(gone, FREE)

    def heal(self, taken: Mapping[str, Taken]) -> Changed:
        """Believe the database."""
        before = self.states()
        self.taken = dict(taken)
        return self._since(before, [*before, *taken])

    def states(self) -> Changed:
        """Every seat that is not free."""
        return self._states_of(self.taken)

    def _states_of(self, seats: Iterable[str]) -> Changed:
        return {seat: self.taken[seat].state for seat in seats if seat in self.taken}

    def _since(self, before: Changed, seats: Sequence[str]) -> Changed:
        after = self._states_of(seats)
        return {
            seat: after.get(seat, FREE) for seat in seats if after.get(seat) != before.get(seat)
        }

    def publish(self, version: int, changed: Changed) -> None:
        """Tell all listeners. One that does not keep up is dropped; it comes back."""
        self.version = version
        self.body = None
        self._forget_refusals(version, changed)
        self.ring.append((version, changed))
        message = delta(version, changed)
        for listener in list(self.listeners):
            if listener.is_full:
                self.listeners.discard(listener)
                listener.end()
            else:
                listener.tell(message)

    def refuse(self, choice: Choice, reason: BookingError, version: int) -> None:
        """The database refused `choice` after `version`: so it will, until a seat comes free; and
        in the same words, while what it offers instead is the same.
        """
        since = self.version if _offers(reason) else self.freed_version
        if version >= since and len(self.refusals) < REFUSALS_MAX:
            self.refusals[choice] = reason

    def _forget_refusals(self, version: int, changed: Changed) -> None:
        if FREE in changed.values():
            self.freed_version = version
            self.refusals.clear()
        for choice in [one for one, reason in self.refusals.items() if _offers(reason)]:
            del self.refusals[choice]

    def catch_up(self, since: int | None) -> list[bytes]:
        """What happened after a version that this process gave out; else all there is."""
        versions = [version for version, _ in self.ring]
        if since in versions:
            missed = list(self.ring)[versions.index(since) + 1 :]
            return [delta(version, changed) for version, changed in missed]
        return [sse("snapshot", self.version, self.states())]


def _offers(reason: BookingError) -> bool:
    return bool(reason.members.get("alternatives") or reason.members.get("fewer"))


def delta(version: int, changed: Changed) -> bytes:
    """The server-sent event of one change."""
    return sse("seats", version, changed)


def sse(name: str, version: int, seats: Changed) -> bytes:
    """A server-sent event that can be resumed from."""
    body: dict[str, Any] = {"version": version, "seats": seats}
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), version, msgspec.json.encode(body))
