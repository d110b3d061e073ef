"""The commands on holds and bookings. Each is re-runnable and has no effect but SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.booking import held_seats_store, show_store, store
from cinesync.booking.allocation import companions
from cinesync.booking.allocation.hold_allocator import Counter, Pick
from cinesync.booking.allocation.seating import Hall
from cinesync.booking.held_limits import HeldLimits
from cinesync.booking.model import (
    NEXT,
    Booking,
    BookingError,
    Cause,
    ExtensionsUsedUp,
    HoldIsOver,
    HoldSeats,
    Show,
    State,
    Terms,
    UnknownBooking,
    UnknownShow,
)
from cinesync.booking.show_cache import Kept
from cinesync.booking.store import HELD, Claim
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingCancelled, SeatsHeld, SeatsReleased


class Held(msgspec.Struct, frozen=True):
    """Seats are held: the answer to HoldSeats."""

    pick: Pick
    event: SeatsHeld


HoldResult = Held | BookingError


class NothingHeld(Exception):
    """A whole batch was refused. Raised so that there is nothing to commit."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__("a whole batch was refused")
        self.results = results


async def hold_seats(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    kept: Kept,
    terms: Terms,
    *,
    counts_held: bool = True,
) -> list[HoldResult]:
    """Hold all or none of each customer's seats; one answer for each, in order.

    What they keep already is only counted near a limit: see `held_limits.is_near`.

    Conflicts within the batch are decided in memory, in arrival order; with other processes by
    the primary key, whatever was read before. Raises NothingHeld when all are refused.
    """
    counter = await open_counter(tx, holds, kept, terms, counts_held=counts_held)
    decided = [counter.decide(hold) for hold in holds]
    picks = [pick for pick in decided if isinstance(pick, Pick)]
    gone = await _claim_all_or_none(tx, picks, terms)
    won = [pick for pick in picks if pick.hold.hold_id not in gone]
    expiries = await store.insert_holds(tx, won, terms.hold_seconds) if won else {}
    told = {pick.hold.hold_id: _seats_held(pick, expiries[pick.hold.hold_id]) for pick in won}
    await outbox.append(tx, list(told.values()))
    results = [_answer(counter, pick, gone, told) for pick in decided]
    if not won:
        raise NothingHeld(results)
    return results


async def open_counter(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    kept: Kept,
    terms: Terms,
    *,
    counts_held: bool = True,
) -> Counter:
    """Read once for the whole batch what its decisions rest on."""
    sales = await store.sales_of(tx, [hold.show_id for hold in holds])
    shows = await kept.shows(tx, sales)
    taken = {sale.show_id: sale.taken for sale in sales}
    held = await held_seats_store.held_by(tx, holds, terms) if counts_held else ()
    halls = {show.layout_id: await kept.hall(tx, show.layout_id) for show in shows.values()}
    for show in shows.values():
        unpriced = halls[show.layout_id].outside(show.prices_cents.keys())
        taken[show.show_id].update(unpriced)
    owners = await _owners_of_places(tx, holds, shows, halls)
    return Counter(shows, halls, taken, HeldLimits(terms, held), owners, terms)


async def _owners_of_places(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    shows: Mapping[UUID, Show],
    halls: Mapping[UUID, Hall],
) -> dict[tuple[UUID, str], UUID]:
    """Who has the wheelchair places whose companion seats are wanted alone: seldom anybody."""
    places: set[tuple[str, UUID, str]] = set()
    for hold in holds:
        show = shows.get(hold.show_id)
        hall = halls[show.layout_id] if show else None
        if show and hall and hall.companions:
            missing = companions.places_missing(hall, hold.seats)
            places.update((show.region, show.show_id, place) for place in missing if place)
    return dict(await held_seats_store.owners(tx, places)) if places else {}


async def _claim_all_or_none(
    tx: Transaction, picks: Sequence[Pick], terms: Terms
) -> dict[UUID, list[str]]:
    """The seats that each losing hold did not get; what it did get is undone."""
    claims = {pick.hold.hold_id: store.claims_of_pick(pick) for pick in picks}
    if not claims:
        return {}
    every = [claim for wanted in claims.values() for claim in wanted]
    claimed = await store.claim_seats(tx, every, HELD, terms.hold_seconds)
    gone = {
        hold_id: [claim.seat for claim in wanted if claim not in claimed]
        for hold_id, wanted in claims.items()
        if not claimed.issuperset(wanted)
    }
    undo = [claim for hold_id in gone for claim in claims[hold_id] if claim in claimed]
    if undo:
        await store.free_seats(tx, undo)
    return gone


def _answer(
    counter: Counter,
    decided: Pick | BookingError,
    gone: Mapping[UUID, list[str]],
    told: Mapping[UUID, SeatsHeld],
) -> HoldResult:
    if isinstance(decided, BookingError):
        return decided
    hold_id = decided.hold.hold_id
    if hold_id in gone:
        return counter.lost(decided, gone[hold_id])
    return Held(decided, told[hold_id])


async def release_hold(tx: Transaction, hold_id: UUID, customer_id: UUID) -> list[SeatsReleased]:
    """Give held seats back; nothing to do for a hold that is over. Raises HoldIsOver if paid."""
    booking = await _own_for_update(tx, hold_id, customer_id)
    if booking.state in {State.RELEASED, State.EXPIRED}:
        return []
    if (booking.state, Cause.GIVEN_BACK) not in NEXT:
        raise HoldIsOver("It is paid for: cancel the booking instead.")
    freed = await store.free_seats(tx, store.claims_of(booking))
    released = await held_seats_store.set_released(
        tx, booking, NEXT[booking.state, Cause.GIVEN_BACK]
    )
    assert released, "it was locked"
    events = [seats_released(booking, freed)] if freed else []
    await outbox.append(tx, events)
    return events


async def extend_hold(
    tx: Transaction, hold_id: UUID, customer_id: UUID, terms: Terms
) -> tuple[Booking, list[SeatsHeld]]:
    """Keep a live hold for its full time again, but not beyond the show's start.

    An extension that would gain nothing is not counted. Raises HoldIsOver, ExtensionsUsedUp.
    """
    booking = await _own_for_update(tx, hold_id, customer_id)
    if booking.status is not State.HELD:
        raise HoldIsOver
    if booking.extensions >= terms.extensions_max:
        raise ExtensionsUsedUp(extensions_max=terms.extensions_max)
    show = await find_show(tx, booking.show_id)
    until = min(booking.read_at + timedelta(seconds=terms.hold_seconds), show.starts_at)
    if until <= booking.expires_at:
        return booking, []
    claims = store.claims_of(booking)
    prolonged = await store.prolong_seats(tx, claims, until)
    if len(prolonged) < len(claims) or not await store.set_expiry(tx, booking, until):
        raise HoldIsOver
    extended = replace(booking, expires_at=until, extensions=booking.extensions + 1)
    events = [
        SeatsHeld(
            event_id=clock.new_id(),
            occurred_at=clock.now(),
            hold_id=hold_id,
            show_id=booking.show_id,
            region=booking.region,
            seats=booking.seat_names,
            expires_at=until,
        )
    ]
    await outbox.append(tx, events)
    return extended, events


async def sweep_run_out(tx: Transaction, grace_seconds: int, limit: int) -> int:
    """Mark holds that ran out long ago and drop their rows; how many.

    Housekeeping only: whether a hold is alive is always asked of the database's clock.
    """
    run_out = await store.lock_run_out(tx, grace_seconds, limit)
    if run_out:
        await store.free_seats(tx, [c for booking in run_out for c in store.claims_of(booking)])
        await _move(tx, run_out, Cause.RAN_OUT)
    return len(run_out)


async def find_own(tx: Transaction, booking_id: UUID, customer_id: UUID) -> Booking:
    """A customer's own hold or booking. Raises UnknownBooking."""
    return own(await store.find_booking(tx, booking_id), customer_id)


def own(booking: Booking | None, customer_id: UUID) -> Booking:
    """Another's does not exist for them. Raises UnknownBooking."""
    if booking is None or booking.customer_id != customer_id:
        raise UnknownBooking
    return booking


async def find_show(tx: Transaction, show_id: UUID) -> Show:
    """Raises UnknownShow."""
    show = (await show_store.find_shows(tx, [show_id])).get(show_id)
    if show is None:
        raise UnknownShow
    return show


async def _own_for_update(tx: Transaction, booking_id: UUID, customer_id: UUID) -> Booking:
    booking = (await store.lock_bookings(tx, [booking_id])).get(booking_id)
    if booking is None or booking.customer_id != customer_id:
        raise UnknownBooking
    return booking


async def _move(tx: Transaction, bookings: Sequence[Booking], cause: Cause) -> None:
    """Locked bookings of one state change as the table says."""
    [(before, after)] = {(booking.state, NEXT[booking.state, cause]) for booking in bookings}
    keys = [(booking.region, booking.booking_id) for booking in bookings]
    moved = await store.set_states(tx, keys, [before], after)
    assert len(moved) == len(bookings), "they were locked"


def _seats_held(pick: Pick, expires_at: datetime) -> SeatsHeld:
    return SeatsHeld(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=pick.hold.trace,
        hold_id=pick.hold.hold_id,
        show_id=pick.show.show_id,
        region=pick.show.region,
        seats=[priced.seat for priced in pick.seats],
        expires_at=expires_at,
    )


def seats_released(booking: Booking, freed: set[Claim]) -> SeatsReleased:
    """The seats that really came free."""
    return SeatsReleased(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        hold_id=booking.booking_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=sorted(claim.seat for claim in freed),
    )


def booking_cancelled(booking: Booking, refund_cents: int, trace: str = "") -> BookingCancelled:
    """What payment needs to give back what is left of the money."""
    assert booking.payment_id is not None, "only paid bookings are cancelled"
    assert booking.cancel_reason is not None, "the statement that cancels says why"
    return BookingCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=trace,
        booking_id=booking.booking_id,
        payment_id=booking.payment_id,
        customer_id=booking.customer_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=booking.seat_names,
        refund_cents=refund_cents,
        currency=booking.currency,
        reason=booking.cancel_reason,
    )
