"""Refunds all bookings of a show for staff, page by page, once for each refund id.

The request ends the sale of the show, releases its holds, emits `show.refund.begun` for movies
and refunds the first page of bookings; a customer who still pays is refunded. The progress is a row
of `show_refunds`. A background loop continues from there until no booking is left, whichever
process dies meanwhile. Neither the loop nor a repeated request refunds a booking twice: a page is
found by the booked seats of the show, and a refunded booking has none.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from cinesync.booking import seat_store, service, store
from cinesync.booking.cancellation import show_refund_store
from cinesync.booking.cancellation import store as cancellation_store
from cinesync.booking.cancellation.service import whole_refund
from cinesync.booking.cancellation.show_refund_store import ShowRefundProgress
from cinesync.booking.cancellation.staff_refunds import RefundIdUsed
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.booking.model import NEXT, BookingAuditAction, BookingState, Show, Trigger
from cinesync.booking.shows import store as show_store
from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import SYSTEM, Actor
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingCancelled, ShowRefundBegun

PAGE_MAX: Final = 100


class RefundShow(Struct, frozen=True, kw_only=True):
    """Command: refund the next `limit` bookings of a show. The customers read `note`."""

    refund_id: UUID
    show_id: UUID
    note: str
    limit: int
    by: Actor
    by_id: UUID


class ShowRefundPage(Struct, frozen=True):
    """What one command refunded, and the progress after it."""

    progress: ShowRefundProgress
    events: Sequence[BookingCancelled]


async def refund_show(tx: Transaction, command: RefundShow) -> ShowRefundPage:
    """Refund the next page. Raises UnknownShow, RefundIdUsed."""
    show = await service.find_show(tx, command.show_id)
    begun = await show_refund_store.lock(tx, command.refund_id)
    if begun is None:
        await _begin(tx, command, show)
    elif begun.show_id != command.show_id:
        raise RefundIdUsed
    booking_ids = await show_refund_store.booked_ids(tx, show, command.limit)
    events = await _refund(tx, command, booking_ids)
    left = await show_refund_store.count_booked(tx, show)
    refund_cents = sum(event.refund_cents for event in events)
    progress = await show_refund_store.advance(
        tx, command.refund_id, bookings=len(events), refund_cents=refund_cents, bookings_left=left
    )
    if progress.finished_at is not None and (begun is None or begun.finished_at is None):
        await audit_log.append(
            tx, [_audit_entry(command, BookingAuditAction.SHOW_REFUNDED, progress)]
        )
    return ShowRefundPage(progress, events)


async def unfinished(tx: Transaction, limit: int) -> list[RefundShow]:
    """The next page of each refund that has begun and is not finished, the oldest first."""
    return [
        RefundShow(
            refund_id=one.refund_id,
            show_id=one.show_id,
            note=one.note,
            limit=PAGE_MAX,
            by=Actor(SYSTEM.role, one.actor_id),
            by_id=one.actor_id,
        )
        for one in await show_refund_store.unfinished(tx, limit)
    ]


async def progress_of(tx: Transaction, show_id: UUID, refund_id: UUID) -> ShowRefundProgress | None:
    """The progress of a refund, if it has begun."""
    show = await service.find_show(tx, show_id)
    found = await show_refund_store.lock(tx, refund_id)
    if found is None or found.show_id != show_id:
        return None
    return found.with_left(await show_refund_store.count_booked(tx, show))


async def _begin(tx: Transaction, command: RefundShow, show: Show) -> None:
    """End the sale and the holds, and emit the event for movies."""
    await show_store.end_sale(tx, show, command.note)
    await show_refund_store.insert_refund(
        tx,
        show,
        refund_id=command.refund_id,
        note=command.note,
        actor_id=command.by_id,
    )
    held_ids = await seat_store.free_held_seats(tx, show.region, show.show_id)
    if held_ids:
        keys = sorted((show.region, booking_id) for booking_id in held_ids)
        after = NEXT[BookingState.HELD, Trigger.SHOW_CANCELLED]
        await store.set_states(tx, keys, [BookingState.HELD], after)
        # The customers did not release these holds: they do not count toward limits.
        await held_limits_store.forget_keys(tx, keys)
    begun = ShowRefundBegun(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=show.show_id,
        region=show.region,
        reason=command.note,
    )
    await outbox.append(tx, [begun])
    await audit_log.append(tx, [_audit_entry(command, BookingAuditAction.SHOW_REFUND_BEGUN)])


async def _refund(
    tx: Transaction, command: RefundShow, booking_ids: Sequence[UUID]
) -> list[BookingCancelled]:
    """Cancel these bookings, free their seats and refund them."""
    if not booking_ids:
        return []
    before = await store.lock_bookings(tx, booking_ids)
    keys = [(booking.region, booking.booking_id) for booking in before.values()]
    after = await store.set_cancelled(tx, keys, [BookingState.CONFIRMED], "show", command.note)
    refunds = {
        booking.booking_id: whole_refund(
            before[booking.booking_id], reason="show", actor_id=command.by_id, note=command.note
        )
        for booking in after
    }
    await cancellation_store.insert_refunds(tx, list(refunds.values()))
    await seat_store.free_seats(
        tx, [row for booking in after for row in seat_store.rows_of(booking)]
    )
    events = [
        service.booking_cancelled(booking, refunds[booking.booking_id].refund_cents)
        for booking in after
    ]
    await outbox.append(tx, events)
    return events


def _audit_entry(
    command: RefundShow, action: BookingAuditAction, progress: ShowRefundProgress | None = None
) -> audit_log.Entry:
    after = (
        None
        if progress is None
        else {
            "bookings_refunded": progress.bookings_refunded,
            "refund_cents": progress.refund_cents,
            "currency": progress.currency,
        }
    )
    return audit_log.Entry(
        actor=command.by,
        action=action,
        object_kind="show",
        object_id=command.show_id,
        after=after,
        reason=command.note,
    )
