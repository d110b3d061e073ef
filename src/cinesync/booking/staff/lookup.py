"""Looks bookings up for staff. Every lookup is written to the audit log."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from cinesync.booking import service, store
from cinesync.booking.admission import store as admission_store
from cinesync.booking.admission.rules import AdmittedSeat
from cinesync.booking.cancellation import store as cancellation_store
from cinesync.booking.cancellation.store import RefundRecord
from cinesync.booking.model import Booking, BookingAuditAction, Show
from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Transaction

FOUND_MAX: Final = 20


class FoundBooking(Struct, frozen=True, kw_only=True):
    """A booking with its show, admissions and refunds."""

    booking: Booking
    show: Show
    admitted: Sequence[AdmittedSeat]
    refunds: Sequence[RefundRecord]


async def read_bookings(tx: Transaction, booking_ids: Sequence[UUID]) -> list[FoundBooking]:
    """The first FOUND_MAX of these bookings, in this order, without unknown ones."""
    bookings = await store.find_bookings(tx, booking_ids[:FOUND_MAX])
    return [
        FoundBooking(
            booking=booking,
            show=await service.find_show(tx, booking.show_id),
            admitted=await admission_store.admitted_seats(tx, booking.region, booking.booking_id),
            refunds=await cancellation_store.refunds_of(tx, booking.booking_id),
        )
        for booking in (bookings.get(booking_id) for booking_id in booking_ids[:FOUND_MAX])
        if booking is not None
    ]


async def look_up(tx: Transaction, booking_ids: Sequence[UUID], by: Actor) -> list[FoundBooking]:
    """The same, with an audit entry for each booking."""
    found = await read_bookings(tx, booking_ids)
    entries = [
        audit_log.Entry(
            actor=by,
            action=BookingAuditAction.BOOKING_LOOKED_UP,
            object_kind="booking",
            object_id=one.booking.booking_id,
        )
        for one in found
    ]
    await audit_log.append(tx, entries)
    return found


async def look_up_seat(tx: Transaction, show_id: UUID, seat: str, by: Actor) -> list[FoundBooking]:
    """The booking that has a seat of a show, then those that had it."""
    return await look_up(tx, await admission_store.bookings_of_seat(tx, show_id, seat), by)
