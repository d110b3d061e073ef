"""The commands that give seats or money of a booking back: by its customer, or by staff."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from cinesync.booking import cancel_rules, cancellation_store, revocations, service, store
from cinesync.booking.admission_store import used_seats
from cinesync.booking.cancel_rules import AlreadyAdmitted, Split
from cinesync.booking.cancellation_store import BookingRefund
from cinesync.booking.model import (
    NEXT,
    Booking,
    Cause,
    NotConfirmed,
    Show,
    State,
    Terms,
    TooLateToCancel,
)
from cinesync.booking.show_cache import Kept
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingCancelled, BookingReduced

NOBODY = UUID(int=0)  # the shop by itself
CancelEvent = BookingCancelled | BookingReduced


class CancelSeats(Struct, frozen=True, kw_only=True):
    """A customer gives seats of a booking back; without `seats`, all of it."""

    booking_id: UUID
    customer_id: UUID
    seats: tuple[str, ...] = ()


class Cancelled(NamedTuple):
    """A booking as a cancellation leaves it, and what is to be told."""

    booking: Booking
    events: Sequence[CancelEvent]


async def cancel_seats(
    tx: Transaction, command: CancelSeats, kept: Kept, terms: Terms
) -> Cancelled:
    """What was paid for these seats goes back; what is cancelled stays so.

    Raises NotConfirmed, TooLateToCancel, NotInBooking, AlreadyAdmitted, CompanionAlone, GapLeft.
    """
    locked = await store.lock_bookings(tx, [command.booking_id])
    booking = service.own(locked.get(command.booking_id), command.customer_id)
    if booking.state is State.CANCELLED:
        return Cancelled(booking, [])
    if (booking.state, Cause.CUSTOMER_CANCELLED) not in NEXT:
        raise NotConfirmed
    parted = cancel_rules.split(booking, command.seats)
    if not parted.going:
        return Cancelled(booking, [])
    show = await service.find_show(tx, booking.show_id)
    until = show.cancel_until(terms, booking.created_at)
    if show.read_at > until:
        raise TooLateToCancel(until=until)
    inside = {used.seat for used in await used_seats(tx, booking.region, booking.booking_id)}
    if entered := [priced.seat for priced in parted.going if priced.seat in inside]:
        raise AlreadyAdmitted(f"{', '.join(entered)} was let in.", seats=entered)
    if parted.staying:
        taken = await store.taken_seats(tx, [(show.region, show.show_id)])
        hall = await kept.hall(tx, show.layout_id)
        cancel_rules.check(hall, {seat.seat for seat in taken}, parted)
    refund = refund_of(booking, parted, reason="customer", actor_id=command.customer_id)
    return await give_back(tx, booking, show, parted, refund)


def refund_of(
    booking: Booking,
    parted: Split,
    *,
    reason: str,
    actor_id: UUID,
    refund_id: UUID | None = None,
    note: str | None = None,
) -> BookingRefund:
    """What goes back for these seats."""
    return BookingRefund(
        refund_id=refund_id or clock.new_id(),
        region=booking.region,
        booking_id=booking.booking_id,
        seats=[priced.seat for priced in parted.going],
        refund_cents=cancel_rules.refund_cents_of(booking, parted),
        currency=booking.currency,
        whole=not parted.staying,
        reason=reason,
        note=note,
        actor_id=actor_id,
    )


def whole_refund(
    booking: Booking, *, reason: str, actor_id: UUID = NOBODY, note: str | None = None
) -> BookingRefund:
    """All that is left of a booking."""
    whole = Split(booking.seats, ())
    return refund_of(booking, whole, reason=reason, actor_id=actor_id, note=note)


async def give_back(
    tx: Transaction, booking: Booking, show: Show, parted: Split, refund: BookingRefund
) -> Cancelled:
    """Carry it out: seats free, tickets revoked, money on its way. The booking is locked."""
    await cancellation_store.insert_refunds(tx, [refund])
    if refund.whole:
        after = await _cancel_whole(tx, booking, refund)
        event: CancelEvent = service.booking_cancelled(after, refund.refund_cents)
    else:
        after = await cancellation_store.set_reduced(tx, booking, parted, refund.refund_cents)
        event = reduced(after, refund)
    claims = [
        store.Claim(booking.region, booking.show_id, seat, booking.booking_id)
        for seat in refund.seats
    ]
    if claims:
        await store.free_seats(tx, claims)
        await revocations.revoke(tx, show, {booking.booking_id: refund.seats}, refund.reason)
    await outbox.append(tx, [event])
    return Cancelled(after, [event])


async def _cancel_whole(tx: Transaction, booking: Booking, refund: BookingRefund) -> Booking:
    keys = [(booking.region, booking.booking_id)]
    before = [State.CONFIRMED]
    [after] = await store.set_cancelled(tx, keys, before, refund.reason, refund.note)
    return after


def reduced(booking: Booking, refund: BookingRefund) -> BookingReduced:
    """What payment needs to give a part of the money back."""
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
