"""Commands on holds and bookings. Each is re-runnable and has no effect but SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.booking import seat_store, store
from cinesync.booking.allocation import companions
from cinesync.booking.allocation.hold_allocator import Allocation, HoldAllocator
from cinesync.booking.allocation.seating import SeatingPlan
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.booking.held_limits.rules import HeldLimits
from cinesync.booking.model import (
    NEXT,
    Booking,
    BookingError,
    BookingState,
    ExtensionsUsedUp,
    HoldIsOver,
    HoldSeats,
    Show,
    Terms,
    Trigger,
    UnknownBooking,
    UnknownShow,
)
from cinesync.booking.seat_store import HELD, SeatRow
from cinesync.booking.shows import store as show_store
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingCancelled, SeatsHeld, SeatsReleased


class Held(msgspec.Struct, frozen=True):
    """The result of HoldSeats: the seats are held."""

    allocation: Allocation
    event: SeatsHeld


HoldResult = Held | BookingError


class BatchRefused(Exception):
    """Every command of a batch was refused. Raised so that there is nothing to commit."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__("every command of the batch was refused")
        self.results = results


async def hold_seats(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    show_cache: ShowCache,
    terms: Terms,
    *,
    near_limit: bool = True,
) -> list[HoldResult]:
    """Hold all or none of the seats of each command; one result for each, in order.

    Conflicts within the batch are decided in memory, in arrival order; conflicts with other
    processes by the primary key. Unpaid seats are counted only `near_limit`
    (`held_limits.rules.is_near`). Raises BatchRefused when every command is refused.
    """
    allocator = await open_allocator(tx, holds, show_cache, terms, near_limit=near_limit)
    decided = [allocator.allocate(hold) for hold in holds]
    allocations = [one for one in decided if isinstance(one, Allocation)]
    lost_seats = await _claim_all_or_none(tx, allocations, terms)
    won = [one for one in allocations if one.hold.hold_id not in lost_seats]
    expiries = await store.insert_holds(tx, won, terms.hold_seconds) if won else {}
    events = {one.hold.hold_id: _seats_held(one, expiries[one.hold.hold_id]) for one in won}
    await outbox.append(tx, list(events.values()))
    results: list[HoldResult] = []
    for one in decided:
        if isinstance(one, BookingError):
            results.append(one)
        elif one.hold.hold_id in lost_seats:
            results.append(allocator.seat_taken(one, lost_seats[one.hold.hold_id]))
        else:
            results.append(Held(one, events[one.hold.hold_id]))
    if not won:
        raise BatchRefused(results)
    return results


async def open_allocator(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    show_cache: ShowCache,
    terms: Terms,
    *,
    near_limit: bool = True,
) -> HoldAllocator:
    """Read once what the decisions of the whole batch rest on."""
    sales = await seat_store.sales_of(tx, [hold.show_id for hold in holds])
    shows = await show_cache.shows(tx, sales)
    taken = {sale.show_id: sale.taken for sale in sales}
    held = await held_limits_store.find_held_seats(tx, holds, terms) if near_limit else ()
    plans = {show.layout_id: await show_cache.plan(tx, show.layout_id) for show in shows.values()}
    for show in shows.values():
        unpriced = plans[show.layout_id].outside(show.prices_cents.keys())
        taken[show.show_id].update(unpriced)
    owners = await _owners_of_places(tx, holds, shows, plans)
    return HoldAllocator(shows, plans, taken, HeldLimits(terms, held), owners, terms)


async def _owners_of_places(
    tx: Transaction,
    holds: Sequence[HoldSeats],
    shows: Mapping[UUID, Show],
    plans: Mapping[UUID, SeatingPlan],
) -> dict[tuple[UUID, str], UUID]:
    """The owners of wheelchair places whose companion seats are requested alone. Mostly none
    are."""
    places: set[tuple[str, UUID, str]] = set()
    for hold in holds:
        show = shows.get(hold.show_id)
        plan = plans[show.layout_id] if show else None
        if show and plan and plan.companions:
            missing = companions.places_missing(plan, hold.selection.seats)
            places.update((show.region, show.show_id, place) for place in missing if place)
    return dict(await seat_store.owners(tx, places)) if places else {}


async def _claim_all_or_none(
    tx: Transaction, allocations: Sequence[Allocation], terms: Terms
) -> dict[UUID, list[str]]:
    """Claim the rows of all allocations; the seats that each losing hold did not get. The rows that
    it did get are freed again."""
    wanted = {one.hold.hold_id: seat_store.allocated_rows(one) for one in allocations}
    if not wanted:
        return {}
    rows = [row for of_hold in wanted.values() for row in of_hold]
    claimed = await seat_store.claim_seats(tx, rows, HELD, terms.hold_seconds)
    lost_seats = {
        hold_id: [row.seat for row in of_hold if row not in claimed]
        for hold_id, of_hold in wanted.items()
        if not claimed.issuperset(of_hold)
    }
    undo = [row for hold_id in lost_seats for row in wanted[hold_id] if row in claimed]
    if undo:
        await seat_store.free_seats(tx, undo)
    return lost_seats


async def release_hold(tx: Transaction, hold_id: UUID, customer_id: UUID) -> list[SeatsReleased]:
    """Release held seats; nothing to do for a hold that has ended. Raises HoldIsOver if paid."""
    booking = await _own_for_update(tx, hold_id, customer_id)
    if booking.state in {BookingState.RELEASED, BookingState.EXPIRED}:
        return []
    if (booking.state, Trigger.CUSTOMER_RELEASED) not in NEXT:
        raise HoldIsOver("It is paid for: cancel the booking instead.")
    freed = await seat_store.free_seats(tx, seat_store.rows_of(booking))
    after = NEXT[booking.state, Trigger.CUSTOMER_RELEASED]
    released = await store.set_released(tx, booking, after)
    assert released, "it was locked"
    events = [seats_released(booking, freed)] if freed else []
    await outbox.append(tx, events)
    return events


async def extend_hold(
    tx: Transaction, hold_id: UUID, customer_id: UUID, terms: Terms
) -> tuple[Booking, list[SeatsHeld]]:
    """Start the full time of a live hold again, at most to the show's start.

    An extension that gains no time is not counted. Raises HoldIsOver, ExtensionsUsedUp.
    """
    booking = await _own_for_update(tx, hold_id, customer_id)
    if booking.status is not BookingState.HELD:
        raise HoldIsOver
    if booking.extensions >= terms.extensions_max:
        raise ExtensionsUsedUp(extensions_max=terms.extensions_max)
    show = await find_show(tx, booking.show_id)
    until = min(booking.read_at + timedelta(seconds=terms.hold_seconds), show.starts_at)
    if until <= booking.expires_at:
        return booking, []
    rows = seat_store.rows_of(booking)
    prolonged = await seat_store.prolong_seats(tx, rows, until)
    if len(prolonged) < len(rows) or not await store.set_expiry(tx, booking, until):
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


async def expire_holds(tx: Transaction, grace_seconds: int, limit: int) -> int:
    """Mark holds that expired long ago and delete their seat rows; how many.

    Cleanup only: whether a hold is alive is always decided by its expiry and the database's clock.
    """
    expired = await store.lock_expired(tx, grace_seconds, limit)
    if expired:
        rows = [row for booking in expired for row in seat_store.rows_of(booking)]
        await seat_store.free_seats(tx, rows)
        keys = [(booking.region, booking.booking_id) for booking in expired]
        after = NEXT[BookingState.HELD, Trigger.EXPIRED]
        moved = await store.set_states(tx, keys, [BookingState.HELD], after)
        assert len(moved) == len(expired), "they were locked"
    return len(expired)


async def find_own(tx: Transaction, booking_id: UUID, customer_id: UUID) -> Booking:
    """A customer's own hold or booking. Raises UnknownBooking."""
    return own(await store.find_booking(tx, booking_id), customer_id)


def own(booking: Booking | None, customer_id: UUID) -> Booking:
    """Another customer's booking does not exist for this one. Raises UnknownBooking."""
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
    return own((await store.lock_bookings(tx, [booking_id])).get(booking_id), customer_id)


def _seats_held(allocation: Allocation, expires_at: datetime) -> SeatsHeld:
    return SeatsHeld(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=allocation.hold.trace,
        hold_id=allocation.hold.hold_id,
        show_id=allocation.show.show_id,
        region=allocation.show.region,
        seats=[priced.seat for priced in allocation.seats],
        expires_at=expires_at,
    )


def seats_released(booking: Booking, freed: set[SeatRow]) -> SeatsReleased:
    """The event for the rows that were freed."""
    return SeatsReleased(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        hold_id=booking.booking_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=sorted(row.seat for row in freed),
    )


def booking_cancelled(booking: Booking, refund_cents: int, trace: str = "") -> BookingCancelled:
    """The event from which payment refunds the rest of the money."""
    assert booking.payment_id is not None, "only paid bookings are cancelled"
    assert booking.cancel_reason is not None, "the statement that cancels sets the reason"
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
