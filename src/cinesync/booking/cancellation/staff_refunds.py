"""Refunds a booking, or a part of it, for staff: once for each refund id.

There is no deadline: a projector may fail after the start of a show.
"""

from uuid import UUID

from msgspec import Struct

from cinesync.booking import service, store
from cinesync.booking.cancellation import rules
from cinesync.booking.cancellation import store as cancellation_store
from cinesync.booking.cancellation.rules import SeatPartition
from cinesync.booking.cancellation.service import Cancelled, apply_refund, refund_of
from cinesync.booking.cancellation.store import BookingRefund
from cinesync.booking.model import (
    NEXT,
    Booking,
    BookingAuditAction,
    BookingError,
    NotConfirmed,
    Trigger,
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
    """Command: cancel and refund `seats`, or refund `amount_cents` only, or, without both, cancel
    and refund the whole booking. The customer reads `note`."""

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
    if (booking.state, Trigger.STAFF_REFUNDED) not in NEXT:
        raise NotConfirmed(f"It is {booking.status}.")
    show = await service.find_show(tx, booking.show_id)
    partition, refund = _refund(booking, command)
    cancelled = await apply_refund(tx, booking, show, partition, refund)
    await audit_log.append(tx, [_audit_entry(command, booking, cancelled.booking)])
    return cancelled


def _refund(booking: Booking, command: RefundBooking) -> tuple[SeatPartition, BookingRefund]:
    if command.amount_cents is None:
        partition = rules.partition_of(booking, command.seats)
        if not partition.cancelled:
            raise NothingLeft("These seats were given back before.")
        refund = refund_of(
            booking,
            partition,
            reason="staff",
            actor_id=command.by_id,
            refund_id=command.refund_id,
            note=command.note,
        )
        return partition, refund
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
    return SeatPartition((), booking.seats), refund


def _audit_entry(command: RefundBooking, before: Booking, after: Booking) -> audit_log.Entry:
    return audit_log.Entry(
        actor=command.by,
        action=BookingAuditAction.BOOKING_REFUNDED,
        object_kind="booking",
        object_id=before.booking_id,
        before=_audited(before),
        after=_audited(after),
        reason=command.note,
    )


def _audited(booking: Booking) -> dict[str, object]:
    return {
        "status": str(booking.state),
        "seats": booking.seat_names,
        "refund_cents": booking.refund_cents,
        "currency": booking.currency,
    }
