"""Decides whether a scanned ticket admits. Pure."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from cinesync.booking.model import BookingState
from cinesync.booking.tickets import VALIDITY_MARGIN

# People arrive early, and films are long: a ticket admits from this long before its show.
OPENS_BEFORE = timedelta(hours=6)


class ScanResult(StrEnum):
    """The result of a scan."""

    ADMITTED = "admitted"
    ALREADY_USED = "already_used"
    CANCELLED = "cancelled"
    WRONG_SHOW = "wrong_show"
    WRONG_DAY = "wrong_day"
    UNKNOWN = "unknown"


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket scanned at a gate.

    `seats` are those of the ticket; none means all seats of the booking. The gate leads to
    `show_id`, or to the shows of `theater_id`, or without both to any show. With `by_hand`, no
    signed ticket was scanned: staff looked the booking up.
    """

    scan_id: UUID
    booking_id: UUID
    ticket_show_id: UUID | None
    seats: tuple[str, ...]
    show_id: UUID | None
    theater_id: UUID | None
    gate: str
    by_hand: bool
    scanned_at: datetime | None


class AdmittedSeat(msgspec.Struct, frozen=True):
    """A seat that was admitted: by which scan, where and when."""

    seat: str
    scan_id: UUID
    gate: str
    scanned_at: datetime


class ScannedBooking(msgspec.Struct, frozen=True, kw_only=True):
    """A booking and its show, with everything that decides about admission."""

    region: str
    booking_id: UUID
    state: BookingState
    seats: Sequence[str]
    cancelled_seats: Sequence[str]
    revoked_seats: Set[str]
    used: dict[str, AdmittedSeat]
    show_id: UUID
    show_cancelled: bool
    movie_title: str
    theater_id: UUID
    auditorium_name: str
    time_zone: str
    starts_at: datetime
    ends_at: datetime
    read_at: datetime


class ScanDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision about a scan. `seats` are admitted, the `fresh` ones for the first time; `used`
    were admitted before by another scan; `cancelled` are no longer this booking's."""

    scan: Scan
    result: ScanResult
    found: ScannedBooking | None = None
    seats: Sequence[str] = ()
    fresh: Sequence[str] = ()
    used: Sequence[AdmittedSeat] = ()
    cancelled: Sequence[str] = ()


class RefusedScan(msgspec.Struct, frozen=True, kw_only=True):
    """A scan that admitted nobody. Without a `booking_id` it was no ticket of this shop; `show_id`
    is the gate's, else the ticket's."""

    scan_id: UUID
    result: ScanResult
    booking_id: UUID | None
    seats: Sequence[str]
    show_id: UUID | None
    gate: str
    scanned_at: datetime | None


def refused_scan(decision: ScanDecision) -> RefusedScan | None:
    """The record of a refused scan; None if it admitted somebody."""
    if decision.result is ScanResult.ADMITTED:
        return None
    scan, found = decision.scan, decision.found
    return RefusedScan(
        scan_id=scan.scan_id,
        result=decision.result,
        booking_id=scan.booking_id,
        seats=scan.seats,
        show_id=scan.show_id or (found.show_id if found else scan.ticket_show_id),
        gate=scan.gate,
        scanned_at=scan.scanned_at,
    )


def decide(scan: Scan, found: ScannedBooking | None) -> ScanDecision:
    """Decide one scan. The same scan again gets the same decision."""
    if found is None or found.state not in {BookingState.CONFIRMED, BookingState.CANCELLED}:
        return ScanDecision(scan=scan, result=ScanResult.UNKNOWN)
    on_ticket = scan.seats or (*found.seats, *found.cancelled_seats)
    good = _good(found)
    cancelled = [seat for seat in on_ticket if seat not in good]
    if not good.intersection(on_ticket):
        return ScanDecision(
            scan=scan, result=ScanResult.CANCELLED, found=found, cancelled=cancelled
        )
    if not _is_its_time(scan, found):
        return ScanDecision(scan=scan, result=ScanResult.WRONG_DAY, found=found)
    if not _is_its_gate(scan, found):
        return ScanDecision(scan=scan, result=ScanResult.WRONG_SHOW, found=found)
    wanted = [seat for seat in on_ticket if seat in good]
    fresh = [seat for seat in wanted if seat not in found.used]
    mine = [seat for seat in wanted if _is_mine(found.used.get(seat), scan)]
    used = [found.used[seat] for seat in wanted if seat not in {*fresh, *mine}]
    return ScanDecision(
        scan=scan,
        result=ScanResult.ADMITTED if fresh or mine else ScanResult.ALREADY_USED,
        found=found,
        seats=[seat for seat in wanted if seat in {*fresh, *mine}],
        fresh=fresh,
        used=used,
        cancelled=cancelled,
    )


def decide_all(
    scans: Sequence[Scan], bookings: Mapping[UUID, ScannedBooking]
) -> tuple[list[ScanDecision], dict[UUID, ScannedBooking]]:
    """Decide scans in order: a seat that one admits is used for the next."""
    known = dict(bookings)
    decisions = []
    for scan in scans:
        decision = decide(scan, known.get(scan.booking_id))
        decisions.append(decision)
        if decision.fresh and decision.found:
            known[scan.booking_id] = entered(decision.found, scan, decision.fresh)
    return decisions, known


def entered(found: ScannedBooking, scan: Scan, seats: Sequence[str]) -> ScannedBooking:
    """The booking after the admission of these seats."""
    at = scan_time(scan, found.read_at)
    fresh = {seat: AdmittedSeat(seat, scan.scan_id, scan.gate, at) for seat in seats}
    return msgspec.structs.replace(found, used={**found.used, **fresh})


def scan_time(scan: Scan, now: datetime) -> datetime:
    """The time of the scan, at most now: a scanner may send it later, and its clock may be fast."""
    return min(scan.scanned_at or now, now)


def _good(found: ScannedBooking) -> set[str]:
    """The seats whose tickets are valid."""
    if found.state is not BookingState.CONFIRMED or found.show_cancelled:
        return set()
    return set(found.seats) - found.revoked_seats


def _is_its_time(scan: Scan, found: ScannedBooking) -> bool:
    at = scan_time(scan, found.read_at)
    return found.starts_at - OPENS_BEFORE <= at <= found.ends_at + VALIDITY_MARGIN


def _is_its_gate(scan: Scan, found: ScannedBooking) -> bool:
    return (
        scan.show_id in {None, found.show_id}
        and scan.theater_id in {None, found.theater_id}
        and scan.ticket_show_id in {None, found.show_id}
    )


def _is_mine(used: AdmittedSeat | None, scan: Scan) -> bool:
    return used is not None and used.scan_id == scan.scan_id
