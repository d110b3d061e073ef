"""What staff apps send to booking and get from it: one struct per body."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from cinesync.booking.admission_rules import Decision, RefusedScan, Result, Scan, Used
from cinesync.booking.admissions import FoundBooking
from cinesync.booking.cancellation_store import RefundLine
from cinesync.booking.model import Terms
from cinesync.booking.schemas import BookingView, SomeSeats, booking_fields
from cinesync.booking.tickets import NotATicket, TicketSigner

SCANS_MAX = 50
TICKET_CHARS_MAX = 2_000
AMOUNT_CENTS_MAX = 2**53 - 1

Note = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Gate = Annotated[str, msgspec.Meta(max_length=60, pattern=r"^[^\x00]*$")]
Ticket = Annotated[str, msgspec.Meta(min_length=1, max_length=TICKET_CHARS_MAX)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class ScanBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `ticket` as it was scanned, or a `booking_id` that staff let in by hand.

    `scan_id` is the scanner's own name for this scan: sent again, it gets the same answer. `seats`
    let in only some of the ticket's. `show_id` or `theater_id` is what the `gate` lets in to;
    `scanned_at` is when, if it is told later.
    """

    scan_id: UUID
    ticket: Ticket | None = None
    booking_id: UUID | None = None
    seats: SomeSeats | None = None
    show_id: UUID | None = None
    theater_id: UUID | None = None
    gate: Gate = ""
    scanned_at: Moment | None = None


class AdmissionsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scans in the order in which they were made, by one scanner."""

    scans: Annotated[tuple[ScanBody, ...], msgspec.Meta(min_length=1, max_length=SCANS_MAX)]


class AdmissionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan came to: admitted, already_used, cancelled, wrong_show, wrong_day or unknown.

    `seats` may go in. `used` were let in before: when, where and by which scan. `cancelled_seats`
    are on the ticket but no longer good.
    """

    scan_id: UUID
    result: Result
    booking_id: UUID | None = None
    show_id: UUID | None = None
    movie_title: str | None = None
    auditorium_name: str | None = None
    starts_at: datetime | None = None
    seats: Sequence[str] = ()
    used: Sequence[Used] = ()
    cancelled_seats: Sequence[str] = ()


class AdmissionsView(msgspec.Struct, frozen=True):
    """One answer for each scan, in order."""

    items: Sequence[AdmissionView]


def scan_of(body: ScanBody, signer: TicketSigner) -> Scan | None:
    """A scan as booking understands it; None for what is no ticket of this shop."""
    ticket_show_id, on_ticket = None, tuple(body.seats or ())
    booking_id = body.booking_id
    if body.ticket is not None:
        try:
            presented = signer.read(body.ticket)
        except NotATicket:
            return None
        booking_id, ticket_show_id = presented.booking_id, presented.show_id
        wanted = body.seats or presented.seats
        on_ticket = tuple(seat for seat in presented.seats if seat in wanted)
        if not on_ticket:
            return None
    if booking_id is None:
        return None
    return Scan(
        scan_id=body.scan_id,
        booking_id=booking_id,
        ticket_show_id=ticket_show_id,
        seats=on_ticket,
        show_id=body.show_id,
        theater_id=body.theater_id,
        gate=body.gate,
        by_hand=body.ticket is None,
        scanned_at=body.scanned_at,
    )


def strange(body: ScanBody) -> RefusedScan:
    """What is kept of something that is no ticket."""
    return RefusedScan(
        scan_id=body.scan_id,
        result=Result.UNKNOWN,
        booking_id=None,
        seats=(),
        show_id=body.show_id,
        gate=body.gate,
        scanned_at=body.scanned_at,
    )


def unknown(body: ScanBody) -> AdmissionView:
    """The answer to something that is no ticket."""
    return AdmissionView(scan_id=body.scan_id, result=Result.UNKNOWN)


def admission(decision: Decision) -> AdmissionView:
    """The answer to a scan."""
    found = decision.found
    if found is None:
        return AdmissionView(scan_id=decision.scan.scan_id, result=decision.result)
    return AdmissionView(
        scan_id=decision.scan.scan_id,
        result=decision.result,
        booking_id=found.booking_id,
        show_id=found.show_id,
        movie_title=found.movie_title,
        auditorium_name=found.auditorium_name,
        starts_at=found.starts_at,
        seats=decision.seats,
        used=decision.used,
        cancelled_seats=decision.cancelled,
    )


class RevocationsView(msgspec.Struct, frozen=True, kw_only=True):
    """`list` is a JWT of type `revocations+jwt`, signed as tickets are: `tickets` are the ids that
    admit nobody (`jti` of a ticket for one seat), of `cancelled_shows` none is good, and the list
    with the highest `seq` of its scope counts. `seq` and `iat` are told beside it too.
    """

    list: str
    seq: int
    issued_at: datetime
    ticket_count: int


class RefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Give `seats` back, or `amount_cents` without any seat, or the whole booking. `reason` is for
    the customer to read; the same `refund_id` does it once."""

    refund_id: UUID
    reason: Note
    seats: SomeSeats | None = None
    amount_cents: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_CENTS_MAX)] | None = None


class ShowRefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Give a show back, `limit` bookings of it within this request. The same `refund_id` does it
    once."""

    refund_id: UUID
    reason: Note
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


@dataclass(frozen=True, slots=True)
class StaffBookingView(BookingView):
    """A booking as staff see it: whose it is, who is inside, what was given back and why."""

    customer_id: UUID
    admitted: Sequence[Used]
    refunds: Sequence[RefundLine]


class FoundView(msgspec.Struct, frozen=True):
    """What was looked up; empty when there is no such booking."""

    items: Sequence[StaffBookingView]


def found(one: FoundBooking, terms: Terms) -> StaffBookingView:
    """A booking that was looked up."""
    return StaffBookingView(
        **booking_fields(one.booking, one.show, terms),
        customer_id=one.booking.customer_id,
        admitted=one.admitted,
        refunds=one.refunds,
    )
