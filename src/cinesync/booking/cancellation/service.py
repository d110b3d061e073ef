"""Cancels seats of a booking for its customer, and refunds them."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from cinesync.booking import seat_store, service, store
from cinesync.booking.admission import revocation_store
from cinesync.booking.admission import store as admission_store
from cinesync.booking.cancellation import rules
from cinesync.booking.cancellation import store as cancellation_store
from cinesync.booking.cancellation.rules import AlreadyAdmitted, SeatPartition
from cinesync.booking.cancellation.store import BookingRefund
from cinesync.booking.model import (
    NEXT,
    Booking,
    BookingState,
    NotConfirmed,
    Show,
    Terms,
    TooLateToCancel,
    Trigger,
)
from cinesync.booking.seat_store import SeatRow
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingCancelled, BookingReduced

NO_ACTOR: Final = UUID(int=0)  # the refund follows from an event, not from a person's request
CancelEvent = BookingCancelled | BookingReduced


class CancelSeats(Struct, frozen=True, kw_only=True):
    """Command: a customer cancels seats of a booking; without `seats`, all of it."""

    booking_id: UUID
    customer_id: UUID
    seats: tuple[str, ...] = ()


class Cancelled(NamedTuple):
    """The booking after a cancellation, and its events."""

    booking: Booking
    events: Sequence[CancelEvent]


async def cancel_seats(
    tx: Transaction, command: CancelSeats, show_cache: ShowCache, terms: Terms
) -> Cancelled:
    """Cancel the seats and refund their price; nothing to do for seats that are cancelled already.

    Raises NotConfirmed, TooLateToCancel, NotInBooking, AlreadyAdmitted, CompanionAlone, GapLeft.
    """
    locked = await store.lock_bookings(tx, [command.booking_id])
    booking = service.own(locked.get(command.booking_id), command.customer_id)
    if booking.state is BookingState.CANCELLED:
        return Cancelled(booking, [])
    if (booking.state, Trigger.CUSTOMER_CANCELLED) not in NEXT:
        raise NotConfirmed
    partition = rules.partition_of(booking, command.seats)
    if not partition.cancelled:
        return Cancelled(booking, [])
    show = await service.find_show(tx, booking.show_id)
    until = show.cancel_until(terms, booking.created_at)
    if show.read_at > until:
        raise TooLateToCancel(until=until)
    admitted = await admission_store.admitted_seats(tx, booking.region, booking.booking_id)
    inside = {one.seat for one in admitted}
    if used := [priced.seat for priced in partition.cancelled if priced.seat in inside]:
        raise AlreadyAdmitted(f"{', '.join(used)} was let in.", seats=used)
    if partition.remaining:
        taken = await seat_store.taken_seats(tx, [(show.region, show.show_id)])
        plan = await show_cache.plan(tx, show.layout_id)
        rules.check(plan, {seat.seat for seat in taken}, partition)
    refund = refund_of(booking, partition, reason="customer", actor_id=command.customer_id)
    return await apply_refund(tx, booking, show, partition, refund)


def refund_of(
    booking: Booking,
    partition: SeatPartition,
    *,
    reason: str,
    actor_id: UUID,
    refund_id: UUID | None = None,
    note: str | None = None,
) -> BookingRefund:
    """The refund for the cancelled seats."""
    return BookingRefund(
        refund_id=refund_id or clock.new_id(),
        region=booking.region,
        booking_id=booking.booking_id,
        seats=[priced.seat for priced in partition.cancelled],
        refund_cents=rules.refund_cents_of(booking, partition),
        currency=booking.currency,
        whole=not partition.remaining,
        reason=reason,
        note=note,
        actor_id=actor_id,
    )


def whole_refund(
    booking: Booking, *, reason: str, actor_id: UUID = NO_ACTOR, note: str | None = None
) -> BookingRefund:
    """The refund of all that is left of a booking."""
    whole = SeatPartition(booking.seats, ())
    return refund_of(booking, whole, reason=reason, actor_id=actor_id, note=note)


async def apply_refund(
    tx: Transaction,
    booking: Booking,
    show: Show,
    partition: SeatPartition,
    refund: BookingRefund,
) -> Cancelled:
    """Write the refund of a locked booking: free its seats, revoke their tickets, and emit the
    event from which payment refunds the money."""
    await cancellation_store.insert_refunds(tx, [refund])
    event: CancelEvent
    if refund.whole:
        keys = [(booking.region, booking.booking_id)]
        [after] = await store.set_cancelled(
            tx, keys, [BookingState.CONFIRMED], refund.reason, refund.note
        )
        event = service.booking_cancelled(after, refund.refund_cents)
    else:
        after = await cancellation_store.set_reduced(tx, booking, partition, refund.refund_cents)
        event = _booking_reduced(after, refund)
    rows = [
        SeatRow(booking.region, booking.show_id, seat, booking.booking_id) for seat in refund.seats
    ]
    if rows:
        await seat_store.free_seats(tx, rows)
        await revocation_store.revoke(tx, show, {booking.booking_id: refund.seats}, refund.reason)
    await outbox.append(tx, [event])
    return Cancelled(after, [event])


def _booking_reduced(booking: Booking, refund: BookingRefund) -> BookingReduced:
    """The event from which payment refunds a part of the money."""
    assert booking.payment_id is not None, "only paid bookings are reduced"
    return BookingReduced(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        reduction_id=refund.refund_id,
        booking_id=booking.booking_id,
        payment_id=booking.payment_id,
        customer_id=booking.customer_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=refund.seats,
        refund_cents=refund.refund_cents,
        currency=booking.currency,
        reason=refund.reason,
    )
