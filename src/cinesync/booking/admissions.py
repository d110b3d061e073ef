"""The commands at the gate: let people in, once for each ticket; and look a booking up.

A batch of scans takes two statements: one reads what is scanned with all that speaks against it,
one writes who is let in. Two gates that scan one ticket at the same moment meet in the primary key
of the second: the slower transaction fails, is run again, and finds the ticket used.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from cinesync.booking import admission_rules, admission_store, cancellation_store, service, store
from cinesync.booking.admission_rules import Decision, RefusedScan, Scan, Used
from cinesync.booking.cancellation_store import RefundLine
from cinesync.booking.model import AuditAction, Booking, Show
from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Transaction

FOUND_MAX = 20


async def admit(
    tx: Transaction,
    scans: Sequence[Scan],
    by: Actor,
    staff_id: UUID,
    strange: Sequence[RefusedScan] = (),
) -> list[Decision]:
    """Let in who may enter; one decision for each scan, in order. `strange` are those scans of the
    batch that are no tickets of this shop: they are kept, with all that let nobody in."""
    found = await admission_store.find_admissible(tx, [scan.booking_id for scan in scans])
    decisions, _ = admission_rules.decide_all(scans, found)
    written = await admission_store.insert_admissions(tx, decisions, staff_id)
    assert len(written) == sum(len(decision.fresh) for decision in decisions), "it was serialized"
    by_hand = [_entry(one, by) for one in decisions if one.scan.by_hand and one.fresh]
    await audit_log.append(tx, by_hand)
    refused = [one for one in map(admission_rules.refusal_of, decisions) if one is not None]
    if refused or strange:
        await admission_store.insert_refused(tx, [*refused, *strange], staff_id)
    return decisions


def _entry(decision: Decision, by: Actor) -> audit_log.Entry:
    """Nobody saw a ticket: who says that these people have one?"""
    after = {"seats": list(decision.fresh), "gate": decision.scan.gate}
    return audit_log.Entry(
        actor=by,
        action=AuditAction.ADMITTED_BY_HAND,
        object_kind="booking",
        object_id=decision.scan.booking_id,
        after=after,
    )


class FoundBooking(Struct, frozen=True, kw_only=True):
    """A booking as staff see it."""

    booking: Booking
    show: Show
    admitted: Sequence[Used]
    refunds: Sequence[RefundLine]


async def read_bookings(tx: Transaction, booking_ids: Sequence[UUID]) -> list[FoundBooking]:
    """What staff may know of these bookings, in this order; unknown ones are left out."""
    bookings = await store.find_bookings(tx, booking_ids[:FOUND_MAX])
    return [
        FoundBooking(
            booking=booking,
            show=await service.find_show(tx, booking.show_id),
            admitted=await admission_store.used_seats(tx, booking.region, booking.booking_id),
            refunds=await cancellation_store.refunds_of(tx, booking.booking_id),
        )
        for booking in (bookings.get(booking_id) for booking_id in booking_ids[:FOUND_MAX])
        if booking is not None
    ]


async def look_up(tx: Transaction, booking_ids: Sequence[UUID], by: Actor) -> list[FoundBooking]:
    """The same, and it is noted who looked at whose."""
    found = await read_bookings(tx, booking_ids)
    entries = [
        audit_log.Entry(
            actor=by,
            action=AuditAction.BOOKING_LOOKED_UP,
            object_kind="booking",
            object_id=one.booking.booking_id,
        )
        for one in found
    ]
    await audit_log.append(tx, entries)
    return found


async def look_up_seat(tx: Transaction, show_id: UUID, seat: str, by: Actor) -> list[FoundBooking]:
    """The same for whoever has a seat of a show, or had it."""
    return await look_up(tx, await admission_store.bookings_of_seat(tx, show_id, seat), by)
