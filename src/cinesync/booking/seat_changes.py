"""Other seats for a hold: all or none, the old ones kept until the new ones are won.

The hold stays the same one: its expiry and its extensions do not change, and a seat that stays
costs no more than it was held at. A payment that began before a change and costs something else is
refused and goes back (`wrong_amount`); one that costs the same pays for the new seats.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.booking import held_seats_store, service, store
from cinesync.booking.allocation.hold_allocator import Counter, Pick
from cinesync.booking.model import (
    Booking,
    BookingError,
    HoldIsOver,
    HoldSeats,
    Seen,
    State,
    Terms,
    UnknownBooking,
)
from cinesync.booking.service import NothingHeld
from cinesync.booking.show_cache import Kept
from cinesync.booking.store import HELD, Claim
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import SeatsHeld, SeatsReleased


class ChangeSeats(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's wish for a hold of theirs: these `seats` instead, or the `best` so many."""

    hold_id: UUID
    customer_id: UUID
    is_guest: bool
    email_key: UUID
    address_key: UUID | None = None
    is_staff: bool = False
    seats: tuple[str, ...] = ()
    best: int = 0
    zone: str | None = None
    seen: Seen | None = None
    accessible_need: bool | None = None
    trace: str = ""

    def as_hold(self, show_id: UUID) -> HoldSeats:
        """The same wish as if nothing were held yet."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return HoldSeats(show_id=show_id, **fields)


class ChangedHold(msgspec.Struct, frozen=True):
    """The answer to ChangeSeats: the hold as it is now, and what seat maps must hear, in order."""

    booking: Booking
    held: SeatsHeld
    released: SeatsReleased | None


ChangeResult = ChangedHold | BookingError


class HoldIsChanging(BookingError):
    """These seats are being changed just now; please look again."""

    status = 409


async def change_seats(
    tx: Transaction, changes: Sequence[ChangeSeats], kept: Kept, terms: Terms
) -> list[ChangeResult]:
    """One answer for each, in order. Raises service.NothingHeld when all are refused."""
    locked = await store.lock_bookings(tx, [change.hold_id for change in changes])
    refusals = _refusals(changes, locked)
    holds = [
        change.as_hold(locked[change.hold_id].show_id)
        for change, refusal in zip(changes, refusals, strict=True)
        if refusal is None
    ]
    decided = await _decide(tx, holds, locked, kept, terms) if holds else {}
    won = [result for result in decided.values() if isinstance(result, Pick)]
    changed = await _change(tx, won, locked) if won else {}
    results = [
        refusal or changed.get(change.hold_id) or _lost(decided[change.hold_id])
        for change, refusal in zip(changes, refusals, strict=True)
    ]
    if not won:
        raise NothingHeld(results)
    return results


def _refusals(
    changes: Sequence[ChangeSeats], locked: Mapping[UUID, Booking]
) -> list[BookingError | None]:
    """Of holds that are another's, or over, or that somebody before in the batch changes: they
    have not seen what that one did."""
    refusals: list[BookingError | None] = []
    changing: set[UUID] = set()
    for change in changes:
        booking = locked.get(change.hold_id)
        if booking is None or booking.customer_id != change.customer_id:
            refusals.append(UnknownBooking())
        elif booking.status is not State.HELD:
            refusals.append(HoldIsOver())
        elif change.hold_id in changing:
            refusals.append(HoldIsChanging())
        else:
            refusals.append(None)
            changing.add(change.hold_id)
    return refusals


async def _decide(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    locked: Mapping[UUID, Booking],
    kept: Kept,
    terms: Terms,
) -> dict[UUID, Pick | BookingError]:
    """What each hold gets, claimed already, or why it gets nothing."""
    counter = await service.open_counter(tx, holds, kept, terms)
    decided = {hold.hold_id: counter.decide_change(hold, locked[hold.hold_id]) for hold in holds}
    picks = [result for result in decided.values() if isinstance(result, Pick)]
    return decided | await _claim_new_seats(tx, counter, picks, locked, terms)


def _lost(decided: Pick | BookingError) -> BookingError:
    assert isinstance(decided, BookingError), "what was won was changed"
    return decided


async def _claim_new_seats(
    tx: Transaction,
    counter: Counter,
    picks: Sequence[Pick],
    locked: Mapping[UUID, Booking],
    terms: Terms,
) -> dict[UUID, BookingError]:
    """Why the losers lost; what they did get is undone, and what they had is theirs."""
    claims = {pick.hold.hold_id: _new_claims(pick, locked[pick.hold.hold_id]) for pick in picks}
    every = [claim for wanted in claims.values() for claim in wanted]
    if not every:
        return {}
    claimed = await store.claim_seats(tx, every, HELD, terms.hold_seconds)
    lost: dict[UUID, BookingError] = {}
    undo: list[Claim] = []
    for pick in picks:
        wanted = claims[pick.hold.hold_id]
        gone = [claim.seat for claim in wanted if claim not in claimed]
        if gone:
            lost[pick.hold.hold_id] = counter.lost(pick, gone)
            undo += [claim for claim in wanted if claim in claimed]
    if undo:
        await store.free_seats(tx, undo)
    return lost


async def _change(
    tx: Transaction, picks: Sequence[Pick], locked: Mapping[UUID, Booking]
) -> dict[UUID, ChangedHold]:
    """Write what was won, and give back what is no longer wanted."""
    before = [locked[pick.hold.hold_id] for pick in picks]
    after = [
        replace(booking, seats=pick.seats, total_cents=pick.total_cents)
        for booking, pick in zip(before, picks, strict=True)
    ]
    claims = [
        (claim, booking.expires_at)
        for pick, booking in zip(picks, before, strict=True)
        for claim in _new_claims(pick, booking)
    ]
    if claims:
        await held_seats_store.set_held_until(tx, claims)
    given_back = [
        claim
        for booking, now in zip(before, after, strict=True)
        for claim in store.claims_of(booking)
        if claim.seat not in now.seat_names
    ]
    freed = await store.free_seats(tx, given_back) if given_back else set()
    written = await held_seats_store.set_seats(tx, after)
    assert written == len(after), "they were locked"
    results = {
        booking.booking_id: _changed(booking, pick, freed)
        for booking, pick in zip(after, picks, strict=True)
    }
    events = [[one.held, one.released] for one in results.values()]
    await outbox.append(tx, [event for pair in events for event in pair if event is not None])
    return results


def _changed(booking: Booking, pick: Pick, freed: set[Claim]) -> ChangedHold:
    held = SeatsHeld(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=pick.hold.trace,
        hold_id=booking.booking_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=booking.seat_names,
        expires_at=booking.expires_at,
    )
    own = {claim for claim in freed if claim.booking_id == booking.booking_id}
    if not own:
        return ChangedHold(booking, held, None)
    released = service.seats_released(booking, own)
    return ChangedHold(booking, held, replace(released, hold_goes_on=True, trace=pick.hold.trace))


def _new_claims(pick: Pick, booking: Booking) -> list[Claim]:
    return [claim for claim in store.claims_of_pick(pick) if claim.seat not in booking.seat_names]
