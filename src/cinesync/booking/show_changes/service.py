"""What show events do: put shows on sale, change them, cancel them with their holds and bookings.

Events of one show may arrive in any order. A change or a cancellation that arrives before its
show.scheduled is saved (`early_show_changes`) and applied with it; of several changes the one with
the highest revision counts.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from cinesync.booking import seat_store, service, store
from cinesync.booking.cancellation import show_refund_store
from cinesync.booking.cancellation import store as cancellation_store
from cinesync.booking.cancellation.service import whole_refund
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.booking.model import NEXT, BookingState, Trigger
from cinesync.booking.seat_store import SeatRow
from cinesync.booking.show_changes import store as notice_store
from cinesync.booking.show_changes.rescheduling import moves_after
from cinesync.booking.shows import store as show_store
from cinesync.booking.shows.store import EarlyChange
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.booking import SeatsReleased
from cinesync.contracts.movies import ShowCancelled, ShowChanged, ShowScheduled


async def schedule_shows(tx: Transaction, scheduled: Sequence[ShowScheduled]) -> None:
    """Put shows on sale, with the changes that overtook them."""
    layouts = {event.layout.layout_id: event.layout for event in scheduled}
    new_layouts = await show_store.insert_layouts(tx, layouts)
    if new_layouts:
        await show_store.insert_seats(tx, [layouts[one] for one in sorted(new_layouts)])
    new_shows = await show_store.insert_shows(tx, scheduled)
    early = await show_store.take_early_changes(tx, new_shows) if new_shows else []
    changes = [_show_changed(change) for change in early if change.revision]
    if changes:
        await show_store.update_shows(tx, changes, {})
    cancelled = [_show_cancelled(change) for change in early if change.cancelled]
    if cancelled:
        await show_store.set_cancelled(tx, cancelled)


async def change_shows(tx: Transaction, changes: Sequence[ShowChanged]) -> None:
    """Set new times and prices. Holds and bookings keep their price."""
    newest: dict[UUID, ShowChanged] = {}
    for change in changes:
        if change.show_id not in newest or newest[change.show_id].revision < change.revision:
            newest[change.show_id] = change
    known = await show_store.find_shows(tx, newest)
    moves = {show_id: moves_after(show, newest[show_id]) for show_id, show in known.items()}
    updated = await show_store.update_shows(tx, [newest[one] for one in known], moves)
    await notice_store.insert_notices(tx, [(known[one], newest[one]) for one in sorted(updated)])
    early = [change for change in newest.values() if change.show_id not in known]
    if early:
        await show_store.save_early_changes(tx, early)


async def cancel_shows(tx: Transaction, cancelled: Sequence[ShowCancelled]) -> None:
    """Cancel all bookings with a full refund and release all holds. Shows that staff are refunding
    are left to that refund, which counts their bookings."""
    events = {event.show_id: event for event in cancelled}
    known = await show_store.find_shows(tx, events)
    early = [event for event in events.values() if event.show_id not in known]
    if early:
        await show_store.save_early_cancellations(tx, early)
    await show_store.set_cancelled(tx, [events[show_id] for show_id in sorted(known)])
    refunding = await show_refund_store.unfinished_shows(tx, list(known))
    left = sorted(known.keys() - refunding)
    if left:
        emitted = await _clear_shows(tx, {show_id: events[show_id] for show_id in left})
        await outbox.append(tx, emitted)


async def _clear_shows(tx: Transaction, shows: dict[UUID, ShowCancelled]) -> list[Event]:
    """Free all seats; the events of the bookings and holds that had them."""
    freed = await seat_store.clear_shows(
        tx, [(event.region, event.show_id) for event in shows.values()]
    )
    keys = sorted({(row.region, row.booking_id) for row in freed})
    if not keys:
        return []
    after = NEXT[BookingState.HELD, Trigger.SHOW_CANCELLED]
    released_ids = await store.set_states(tx, keys, [BookingState.HELD], after)
    before = await store.lock_bookings(tx, [booking_id for _, booking_id in keys])
    # The customers did not release these holds: they do not count toward limits.
    await held_limits_store.forget_keys(tx, keys)
    cancelled = await store.set_cancelled(tx, keys, [BookingState.CONFIRMED], "show")
    refunds = {
        booking.booking_id: whole_refund(before[booking.booking_id], reason="show")
        for booking in cancelled
    }
    if refunds:
        await cancellation_store.insert_refunds(tx, list(refunds.values()))
    return [
        *(
            service.booking_cancelled(
                booking, refunds[booking.booking_id].refund_cents, shows[booking.show_id].trace
            )
            for booking in cancelled
        ),
        *_seats_released(freed, released_ids, shows),
    ]


def _seats_released(
    freed: Iterable[SeatRow], released_ids: set[UUID], shows: dict[UUID, ShowCancelled]
) -> list[SeatsReleased]:
    seats: dict[tuple[UUID, UUID], list[str]] = {}
    for row in sorted(freed):
        if row.booking_id in released_ids:
            seats.setdefault((row.show_id, row.booking_id), []).append(row.seat)
    return [
        SeatsReleased(
            event_id=clock.new_id(),
            occurred_at=clock.now(),
            trace=shows[show_id].trace,
            hold_id=hold_id,
            show_id=show_id,
            region=shows[show_id].region,
            seats=names,
        )
        for (show_id, hold_id), names in seats.items()
    ]


def _show_changed(early: EarlyChange) -> ShowChanged:
    return ShowChanged(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=early.show_id,
        region=early.region,
        revision=early.revision,
        starts_at=early.starts_at,
        ends_at=early.ends_at,
        prices_cents=early.prices_cents,
        sales_close_minutes=early.sales_close_minutes,
    )


def _show_cancelled(early: EarlyChange) -> ShowCancelled:
    return ShowCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=early.show_id,
        region=early.region,
        reason=early.cancel_reason or "",
    )
