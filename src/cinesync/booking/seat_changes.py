"""Changes the seats of holds: all or none, the old seats held until the new ones are won.

The hold keeps its id, its expiry and its extensions, and a seat that it keeps costs at most what it
was held at. If a payment began before the change, its amount decides: a different total is refused
and refunded (`wrong_amount`), the same total pays for the new seats.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.booking import seat_store, service, store
from cinesync.booking.allocation.hold_allocator import Allocation
from cinesync.booking.model import (
    Booking,
    BookingError,
    BookingState,
    ExpectedOffer,
    HoldIsOver,
    HoldSeats,
    SeatSelection,
    Terms,
    UnknownBooking,
)
from cinesync.booking.seat_store import HELD, SeatRow
from cinesync.booking.service import BatchRefused
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import SeatsHeld, SeatsReleased


class ChangeSeats(msgspec.Struct, frozen=True, kw_only=True):
    """Command: change the seats of a hold to this selection. The other fields are as in
    HoldSeats."""

    hold_id: UUID
    customer_id: UUID
    is_guest: bool
    selection: SeatSelection
    email_key: UUID
    address_key: UUID | None = None
    is_staff: bool = False
    seen: ExpectedOffer | None = None
    accessible_need: bool | None = None
    trace: str = ""

    def as_hold(self, show_id: UUID) -> HoldSeats:
        """The command for the same selection without a hold."""
        return HoldSeats(show_id=show_id, **msgspec.structs.asdict(self))


class ChangedHold(msgspec.Struct, frozen=True):
    """The result of ChangeSeats: the hold, and the events for seat maps, in order."""

    booking: Booking
    held: SeatsHeld
    released: SeatsReleased | None


ChangeResult = ChangedHold | BookingError


class HoldIsChanging(BookingError):
    """These seats are being changed just now; please look again."""

    status = 409


async def change_seats(
    tx: Transaction, changes: Sequence[ChangeSeats], show_cache: ShowCache, terms: Terms
) -> list[ChangeResult]:
    """One result for each command, in order. Raises BatchRefused when every one is refused."""
    locked = await store.lock_bookings(tx, [change.hold_id for change in changes])
    refusals = _refusals(changes, locked)
    holds = [
        change.as_hold(locked[change.hold_id].show_id)
        for change, refusal in zip(changes, refusals, strict=True)
        if refusal is None
    ]
    decided = await _allocate_and_claim(tx, holds, locked, show_cache, terms) if holds else {}
    won = [result for result in decided.values() if isinstance(result, Allocation)]
    changed = await _write(tx, won, locked) if won else {}
    results: list[ChangeResult] = []
    for change, refusal in zip(changes, refusals, strict=True):
        if refusal is not None:
            results.append(refusal)
        elif change.hold_id in changed:
            results.append(changed[change.hold_id])
        else:
            lost = decided[change.hold_id]
            assert isinstance(lost, BookingError), "what was won was changed"
            results.append(lost)
    if not won:
        raise BatchRefused(results)
    return results


def _refusals(
    changes: Sequence[ChangeSeats], locked: Mapping[UUID, Booking]
) -> list[BookingError | None]:
    """Refuses holds of other customers, holds that have ended, and a second change of one hold in
    the batch: that client has not seen the first change."""
    refusals: list[BookingError | None] = []
    changing: set[UUID] = set()
    for change in changes:
        booking = locked.get(change.hold_id)
        if booking is None or booking.customer_id != change.customer_id:
            refusals.append(UnknownBooking())
        elif booking.status is not BookingState.HELD:
            refusals.append(HoldIsOver())
        elif change.hold_id in changing:
            refusals.append(HoldIsChanging())
        else:
            refusals.append(None)
            changing.add(change.hold_id)
    return refusals


async def _allocate_and_claim(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    locked: Mapping[UUID, Booking],
    show_cache: ShowCache,
    terms: Terms,
) -> dict[UUID, Allocation | BookingError]:
    """The new seats of each hold, claimed; or why it gets none. A loser keeps its old seats."""
    allocator = await service.open_allocator(tx, holds, show_cache, terms)
    decided = {hold.hold_id: allocator.reallocate(hold, locked[hold.hold_id]) for hold in holds}
    wanted = {
        hold_id: (one, _new_rows(one, locked[hold_id]))
        for hold_id, one in decided.items()
        if isinstance(one, Allocation)
    }
    rows = [row for _, of_hold in wanted.values() for row in of_hold]
    if not rows:
        return decided
    claimed = await seat_store.claim_seats(tx, rows, HELD, terms.hold_seconds)
    undo: list[SeatRow] = []
    for hold_id, (allocation, of_hold) in wanted.items():
        gone = [row.seat for row in of_hold if row not in claimed]
        if gone:
            decided[hold_id] = allocator.seat_taken(allocation, gone)
            undo += [row for row in of_hold if row in claimed]
    if undo:
        await seat_store.free_seats(tx, undo)
    return decided


async def _write(
    tx: Transaction, allocations: Sequence[Allocation], locked: Mapping[UUID, Booking]
) -> dict[UUID, ChangedHold]:
    """Write the new seats, and free those that are no longer held."""
    before = [locked[one.hold.hold_id] for one in allocations]
    after = [
        replace(booking, seats=one.seats, total_cents=one.total_cents)
        for booking, one in zip(before, allocations, strict=True)
    ]
    claimed = [
        (row, booking.expires_at)
        for one, booking in zip(allocations, before, strict=True)
        for row in _new_rows(one, booking)
    ]
    if claimed:
        await seat_store.set_held_until(tx, claimed)
    unwanted = [
        row
        for booking, now in zip(before, after, strict=True)
        for row in seat_store.rows_of(booking)
        if row.seat not in now.seat_names
    ]
    freed = await seat_store.free_seats(tx, unwanted) if unwanted else set()
    written = await store.set_seats(tx, after)
    assert written == len(after), "they were locked"
    results = {
        booking.booking_id: _changed(booking, one.hold.trace, freed)
        for booking, one in zip(after, allocations, strict=True)
    }
    events = [[one.held, one.released] for one in results.values()]
    await outbox.append(tx, [event for pair in events for event in pair if event is not None])
    return results


def _changed(booking: Booking, trace: str, freed: set[SeatRow]) -> ChangedHold:
    held = SeatsHeld(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=trace,
        hold_id=booking.booking_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=booking.seat_names,
        expires_at=booking.expires_at,
    )
    own = {row for row in freed if row.booking_id == booking.booking_id}
    if not own:
        return ChangedHold(booking, held, None)
    released = replace(service.seats_released(booking, own), hold_goes_on=True, trace=trace)
    return ChangedHold(booking, held, released)


def _new_rows(allocation: Allocation, booking: Booking) -> list[SeatRow]:
    rows = seat_store.allocated_rows(allocation)
    return [row for row in rows if row.seat not in booking.seat_names]
