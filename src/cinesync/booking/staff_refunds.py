"""The command by which staff give a booking, or a part of it, back: once for each id.

It knows no deadline: a projector fails after the start of a show.
"""

from uuid import UUID

from msgspec import Struct

from cinesync.booking import cancel_rules, cancellation_store, service, store
from cinesync.booking.cancel_rules import Split
from cinesync.booking.cancellation import Cancelled, give_back, refund_of
from cinesync.booking.cancellation_store import BookingRefund
from cinesync.booking.model import (
    NEXT,
    AuditAction,
    Booking,
    BookingError,
    Cause,
    NotConfirmed,
    UnknownBooking,
)
from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Transaction


class RefundIdUsed(BookingError):
    """This refund_id was used before, for something else."""

    status = 422


class NothingLeft(BookingError):
    """There is not that much left to give back."""

    status = 422


class RefundBooking(Struct, frozen=True, kw_only=True):
    """Staff give `seats` back, or `amount_cents` and no seat, or without both the whole booking.
    `note` says why; the customer reads it."""

    refund_id: UUID
    booking_id: UUID
    seats: tuple[str, ...]
    amount_cents: int | None
    note: str
    by: Actor
    by_id: UUID


async def refund_booking(tx: Transaction, command: RefundBooking) -> Cancelled:
    """Raises UnknownBooking, NotConfirmed, NotInBooking, NothingLeft, RefundIdUsed."""
    booking = (await store.lock_bookings(tx, [command.booking_id])).get(command.booking_id)
    if booking is None:
        raise UnknownBooking
    known = await cancellation_store.find_refund(tx, command.refund_id)
    if known is not None:
        if known.booking_id != booking.booking_id:
            raise RefundIdUsed
        return Cancelled(booking, [])
    if (booking.state, Cause.STAFF_REFUNDED) not in NEXT:
        raise NotConfirmed(f"It is {booking.status}.")
    show = await service.find_show(tx, booking.show_id)
    parted, refund = _wanted(booking, command)
    cancelled = await give_back(tx, booking, show, parted, refund)
    await audit_log.append(tx, [_entry(command, booking, cancelled.booking)])
    return cancelled


def _wanted(booking: Booking, command: RefundBooking) -> tuple[Split, BookingRefund]:
    if command.amount_cents is None:
        parted = cancel_rules.split(booking, command.seats)
        if not parted.going:
            raise NothingLeft("These seats were given back before.")
        refund = refund_of(
            booking,
            parted,
            reason="staff",
            actor_id=command.by_id,
            refund_id=command.refund_id,
            note=command.note,
        )
        return parted, refund
    left_cents = booking.total_cents - booking.refund_cents
    if command.amount_cents > left_cents:
        raise NothingLeft(f"{left_cents} is left.", left_cents=left_cents)
    refund = BookingRefund(
        refund_id=command.refund_id,
        region=booking.region,
        booking_id=booking.booking_id,
        seats=[],
        refund_cents=command.amount_cents,
        currency=booking.currency,
        whole=False,
        reason="staff",
        note=command.note,
        actor_id=command.by_id,
    )
    return Split((), booking.seats), refund


def _entry(command: RefundBooking, before: Booking, after: Booking) -> audit_log.Entry:
    return audit_log.Entry(
        actor=command.by,
        action=AuditAction.BOOKING_REFUNDED,
        object_kind="booking",
        object_id=before.booking_id,
        before=_told(before),
        after=_told(after),
        reason=command.note,
    )


def _told(booking: Booking) -> dict[str, object]:
    return {
        "status": str(booking.state),
        "seats": booking.seat_names,
        "refund_cents": booking.refund_cents,
        "currency": booking.currency,
    }
