"""Request and response bodies of admissions and revoked tickets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from cinesync.booking.admission.rules import (
    AdmittedSeat,
    RefusedScan,
    Scan,
    ScanDecision,
    ScanResult,
)
from cinesync.booking.schemas import SeatNames
from cinesync.booking.tickets import InvalidTicket, TicketSigner

SCANS_MAX: Final = 50
TICKET_CHARS_MAX: Final = 2_000

GateName = Annotated[str, msgspec.Meta(max_length=60, pattern=r"^[^\x00]*$")]
TicketToken = Annotated[str, msgspec.Meta(min_length=1, max_length=TICKET_CHARS_MAX)]
ScanTime = Annotated[datetime, msgspec.Meta(tz=True)]


class ScanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A scanned `ticket`, or a `booking_id` that staff admit by hand.

    `scan_id` is chosen by the scanner; the same scan sent again gets the same answer. `seats`
    admits only some of the ticket's seats. `show_id` or `theater_id` is what the `gate` leads to;
    `scanned_at` is the time of the scan if it is sent later.
    """

    scan_id: UUID
    ticket: TicketToken | None = None
    booking_id: UUID | None = None
    seats: SeatNames | None = None
    show_id: UUID | None = None
    theater_id: UUID | None = None
    gate: GateName = ""
    scanned_at: ScanTime | None = None


class AdmissionsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scans of one scanner, in the order in which they were made."""

    scans: Annotated[tuple[ScanRequest, ...], msgspec.Meta(min_length=1, max_length=SCANS_MAX)]


class AdmissionView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a scan: admitted, already_used, cancelled, wrong_show, wrong_day or unknown.

    `seats` may go in. `used` were admitted before: when, where and by which scan. `cancelled_seats`
    are on the ticket but no longer valid.
    """

    scan_id: UUID
    result: ScanResult
    booking_id: UUID | None = None
    show_id: UUID | None = None
    movie_title: str | None = None
    auditorium_name: str | None = None
    starts_at: datetime | None = None
    seats: Sequence[str] = ()
    used: Sequence[AdmittedSeat] = ()
    cancelled_seats: Sequence[str] = ()


class AdmissionsView(msgspec.Struct, frozen=True):
    """One result for each scan, in order."""

    items: Sequence[AdmissionView]


def scan_of(body: ScanRequest, signer: TicketSigner) -> Scan | None:
    """The scan that a request describes; None if it is no ticket of this shop."""
    ticket_show_id, on_ticket = None, tuple(body.seats or ())
    booking_id = body.booking_id
    if body.ticket is not None:
        try:
            claims = signer.read(body.ticket)
        except InvalidTicket:
            return None
        booking_id, ticket_show_id = claims.booking_id, claims.show_id
        wanted = body.seats or claims.seats
        on_ticket = tuple(seat for seat in claims.seats if seat in wanted)
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


def invalid_scan(body: ScanRequest) -> RefusedScan:
    """The record of a scan that is no ticket of this shop."""
    return RefusedScan(
        scan_id=body.scan_id,
        result=ScanResult.UNKNOWN,
        booking_id=None,
        seats=(),
        show_id=body.show_id,
        gate=body.gate,
        scanned_at=body.scanned_at,
    )


def unknown_view(body: ScanRequest) -> AdmissionView:
    """The response to a scan that is no ticket of this shop."""
    return AdmissionView(scan_id=body.scan_id, result=ScanResult.UNKNOWN)


def admission_view(decision: ScanDecision) -> AdmissionView:
    """The response to a scan."""
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
    """`list` is a JWT of type `revocations+jwt`, signed as tickets are. It has the ids (`jti`) of
    single-seat `tickets` that admit nobody, and `cancelled_shows`, of which no ticket is valid. Of
    two lists of one scope, the one with the higher `seq` counts. `seq` and `iat` stand beside it.
    """

    list: str
    seq: int
    issued_at: datetime
    ticket_count: int
