"""The seats of one show as they change, and the recent changes that subscribers can resume from."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from cinesync.booking.allocation.seating import SeatingPlan
from cinesync.booking.model import BookingError, SeatSelection, Show
from cinesync.booking.seatmap.subscriber import Subscriber
from cinesync.chassis import clock
from cinesync.chassis.http.content_encoding import SharedBody

RECENT_CHANGES_MAX: Final = 500
REFUSALS_MAX: Final = 100

FREE, HELD, BOOKED = "free", "held", "booked"


@dataclass(frozen=True, slots=True)
class SeatOccupancy:
    """Who has a seat that is not free; `held_until` is None once it is booked."""

    booking_id: UUID
    held_until: datetime | None

    @property
    def state(self) -> str:
        return BOOKED if self.held_until is None else HELD


@dataclass(frozen=True, slots=True)
class SeatMapSnapshot:
    """A show's seats as the database has them."""

    show: Show
    plan: SeatingPlan
    taken: Mapping[str, SeatOccupancy]


@dataclass(frozen=True, slots=True)
class SeatsTaken:
    """These seats are held or booked now."""

    seats: Sequence[str]
    occupancy: SeatOccupancy


@dataclass(frozen=True, slots=True)
class SeatsFreed:
    """These seats are free now if `booking_id` still has them. With `booked`, booked seats too."""

    seats: Sequence[str]
    booking_id: UUID
    booked: bool


SeatChange = SeatsTaken | SeatsFreed
SeatStates = dict[str, str]


@dataclass(slots=True, eq=False)
class SeatMapState:
    """The seat map of one show.

    `body` is its JSON, rendered on demand for the current version. `refusals` are selections that
    the database refused and that no change since has made possible.
    """

    show: Show
    plan: SeatingPlan
    taken: dict[str, SeatOccupancy]
    version: int
    recent: deque[tuple[int, SeatStates]] = field(
        default_factory=lambda: deque(maxlen=RECENT_CHANGES_MAX)
    )
    body: SharedBody | None = None
    refusals: dict[SeatSelection, BookingError] = field(default_factory=dict)
    freed_version: int = field(init=False)  # the last version in which a seat came free
    subscribers: set[Subscriber] = field(default_factory=set)
    # Changes that arrive while the database is read. They may be older or newer than what was read,
    # so they are applied again afterwards.
    replay: list[SeatChange] | None = None
    used_at: float = field(default_factory=clock.monotonic_seconds)

    def __post_init__(self) -> None:
        self.freed_version = self.version
        self.recent.append((self.version, {}))

    def apply(self, change: SeatChange) -> SeatStates:
        """The seats whose state changes, with their new state."""
        if self.replay is not None:
            self.replay.append(change)
        before = self._states_of(change.seats)
        if isinstance(change, SeatsTaken):
            self._take(change)
        else:
            self._free(change)
        return self._changed_since(before, change.seats)

    def _take(self, change: SeatsTaken) -> None:
        for seat in change.seats:
            known = self.taken.get(seat)
            # The event of a hold may arrive after the event of its confirmation.
            is_booked = known is not None and known.held_until is None
            if not is_booked or change.occupancy.held_until is None:
                self.taken[seat] = change.occupancy

    def _free(self, change: SeatsFreed) -> None:
        for seat in change.seats:
            known = self.taken.get(seat)
            if known is None or known.booking_id != change.booking_id:
                continue
            if change.booked or known.held_until is not None:
                del self.taken[seat]

    def expire_holds(self, now: datetime) -> SeatStates:
        """Free the seats whose holds have expired."""
        expired = [
            seat
            for seat, occupancy in self.taken.items()
            if occupancy.held_until is not None and occupancy.held_until <= now
        ]
        for seat in expired:
            del self.taken[seat]
        return dict.fromkeys(expired, FREE)

    def replace_taken(self, taken: Mapping[str, SeatOccupancy]) -> SeatStates:
        """Take over what the database has; the seats whose state changes."""
        before = self.states()
        self.taken = dict(taken)
        return self._changed_since(before, [*before, *taken])

    def states(self) -> SeatStates:
        """Every seat that is not free."""
        return self._states_of(self.taken)

    def _states_of(self, seats: Iterable[str]) -> SeatStates:
        return {seat: self.taken[seat].state for seat in seats if seat in self.taken}

    def _changed_since(self, before: SeatStates, seats: Sequence[str]) -> SeatStates:
        after = self._states_of(seats)
        return {
            seat: after.get(seat, FREE) for seat in seats if after.get(seat) != before.get(seat)
        }

    def publish(self, version: int, changed: SeatStates) -> None:
        """Send a change to all subscribers; disconnect those that do not keep up."""
        self.version = version
        self.body = None
        self._drop_refusals(version, changed)
        self.recent.append((version, changed))
        message = seats_event(version, changed)
        for subscriber in list(self.subscribers):
            if subscriber.is_full:
                self.subscribers.discard(subscriber)
                subscriber.end()
            else:
                subscriber.send(message)

    def refuse(self, selection: SeatSelection, reason: BookingError, version: int) -> None:
        """Remember that the database refused `selection` after `version`.

        The refusal stands until a seat comes free. One that offers alternatives stands only until
        the next change of any kind: an alternative may be gone.
        """
        since = self.version if _offers(reason) else self.freed_version
        if version >= since and len(self.refusals) < REFUSALS_MAX:
            self.refusals[selection] = reason

    def _drop_refusals(self, version: int, changed: SeatStates) -> None:
        if FREE in changed.values():
            self.freed_version = version
            self.refusals.clear()
        for selection in [one for one, reason in self.refusals.items() if _offers(reason)]:
            del self.refusals[selection]

    def events_since(self, version: int | None) -> list[bytes]:
        """The changes after a version that this process published; else a snapshot."""
        versions = [known for known, _ in self.recent]
        if version in versions:
            missed = list(self.recent)[versions.index(version) + 1 :]
            return [seats_event(known, changed) for known, changed in missed]
        return [sse("snapshot", self.version, self.states())]


def _offers(reason: BookingError) -> bool:
    return bool(reason.members.get("alternatives") or reason.members.get("fewer"))


def seats_event(version: int, changed: SeatStates) -> bytes:
    """The server-sent event of one change."""
    return sse("seats", version, changed)


def sse(name: str, version: int, seats: SeatStates) -> bytes:
    """A server-sent event whose id is the version, so that a client can resume from it."""
    body: dict[str, Any] = {"version": version, "seats": seats}
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), version, msgspec.json.encode(body))
