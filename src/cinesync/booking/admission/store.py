"""Statements about admissions: one reads a batch of scans, one writes it; and about refused
scans."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from cinesync.booking.admission.rules import (
    AdmittedSeat,
    RefusedScan,
    ScanDecision,
    ScannedBooking,
    scan_time,
)
from cinesync.booking.model import BookingState
from cinesync.booking.tables import admissions, refused_scans
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, batch, compiled, insert_from, text

FIND_SCANNED = text(
    "SELECT b.region, b.booking_id, b.state, b.seats, b.cancelled_seats, s.show_id,"
    " s.cancelled, s.movie_title, s.theater_id, s.auditorium_name, s.time_zone, s.starts_at,"
    " s.ends_at, now() AS read_at,"
    " (SELECT jsonb_agg(r.seat) FROM revoked_tickets r WHERE r.region = b.region"
    " AND r.show_id = b.show_id AND r.booking_id = b.booking_id AND r.revoked) AS revoked,"
    " (SELECT jsonb_agg(jsonb_build_object('seat', a.seat, 'scan_id', a.scan_id, 'gate',"
    " a.gate, 'scanned_at', a.scanned_at)) FROM admissions a WHERE a.region = b.region"
    " AND a.booking_id = b.booking_id) AS used"
    " FROM bookings b JOIN shows s ON s.region = b.region AND s.show_id = b.show_id"
    " WHERE b.booking_id = ANY(:booking_ids)",
    booking_ids=ARRAY(Uuid),
)


async def find_scanned(tx: Transaction, booking_ids: Iterable[UUID]) -> dict[UUID, ScannedBooking]:
    """Bookings with their shows, revoked seats and admissions."""
    rows = await tx.execute(FIND_SCANNED, {"booking_ids": sorted(set(booking_ids))})
    return {row.booking_id: _scanned(row) for row in rows}


def _scanned(row: Any) -> ScannedBooking:
    used = msgspec.convert(row.used or [], list[AdmittedSeat])
    return ScannedBooking(
        region=row.region,
        booking_id=row.booking_id,
        state=BookingState(row.state),
        seats=[one["seat"] for one in row.seats],
        cancelled_seats=[one["seat"] for one in row.cancelled_seats],
        revoked_seats=frozenset(row.revoked or ()),
        used={one.seat: one for one in used},
        show_id=row.show_id,
        show_cancelled=row.cancelled,
        movie_title=row.movie_title,
        theater_id=row.theater_id,
        auditorium_name=row.auditorium_name,
        time_zone=row.time_zone,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        read_at=row.read_at,
    )


ADMITTED = batch(
    "admitted",
    admissions.c.region,
    admissions.c.booking_id,
    admissions.c.seat,
    admissions.c.show_id,
    admissions.c.scan_id,
    admissions.c.gate,
    admissions.c.by_hand,
    admissions.c.scanned_at,
)
INSERT_ADMISSIONS = compiled(
    insert_from(admissions, ADMITTED, staff_id=bindparam("staff_id"), admitted_at=func.now())
    .on_conflict_do_nothing(index_elements=list(admissions.primary_key))
    .returning(admissions.c.booking_id, admissions.c.seat)
)


async def insert_admissions(
    tx: Transaction, decisions: Sequence[ScanDecision], staff_id: UUID
) -> set[tuple[UUID, str]]:
    """Admit each seat of a booking once: the primary key decides. Those that were not admitted
    before, by booking and seat."""
    rows = [
        (
            decision.found.region,
            decision.found.booking_id,
            seat,
            decision.found.show_id,
            decision.scan.scan_id,
            decision.scan.gate,
            decision.scan.by_hand,
            scan_time(decision.scan, decision.found.read_at),
        )
        for decision in decisions
        if decision.found is not None
        for seat in decision.fresh
    ]
    if not rows:
        return set()
    parameters = {"admitted": sorted(rows, key=lambda row: row[:3]), "staff_id": staff_id}
    written = await tx.execute(INSERT_ADMISSIONS, parameters)
    return {(row.booking_id, row.seat) for row in written}


class RefusedScanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A scan that admitted nobody."""

    refusal_id: UUID
    scan_id: UUID
    result: str
    booking_id: UUID | None
    seats: Sequence[str]
    show_id: UUID | None
    gate: str
    staff_id: UUID
    scanned_at: datetime
    refused_at: datetime


REFUSED = batch(
    "refused",
    refused_scans.c.refusal_id,
    refused_scans.c.scan_id,
    refused_scans.c.result,
    refused_scans.c.booking_id,
    refused_scans.c.seats,
    refused_scans.c.show_id,
    refused_scans.c.gate,
    refused_scans.c.scanned_at.label("sent_at"),
)
INSERT_REFUSED = compiled(
    insert(refused_scans)
    .from_select(
        [
            "refusal_id", "scan_id", "result", "booking_id", "seats", "show_id", "gate",
            "scanned_at", "staff_id", "refused_at",
        ],
        select(
            *(each for each in REFUSED.c if each.name != "sent_at"),
            func.least(func.coalesce(REFUSED.c.sent_at, func.now()), func.now()),
            bindparam("staff_id", type_=Uuid),
            func.now(),
        ),
    )
    .on_conflict_do_nothing(index_elements=[refused_scans.c.scan_id])
)  # fmt: skip


async def insert_refused(tx: Transaction, refused: Sequence[RefusedScan], staff_id: UUID) -> None:
    """Save them, each scan once."""
    rows = [
        (
            clock.new_id(),
            one.scan_id,
            str(one.result),
            one.booking_id,
            msgspec.json.encode(one.seats).decode(),
            one.show_id,
            one.gate,
            one.scanned_at,
        )
        for one in {one.scan_id: one for one in refused}.values()
    ]
    await tx.execute(INSERT_REFUSED, {"refused": rows, "staff_id": staff_id})


_refused_page = (
    select(*(refused_scans.c[name] for name in RefusedScanRecord.__struct_fields__))
    .where(refused_scans.c.refusal_id < bindparam("before"))
    .order_by(refused_scans.c.refusal_id.desc())
    .limit(bindparam("limit", type_=BigInteger))
)
FIND_REFUSED = compiled(_refused_page)
FIND_REFUSED_OF_SHOW = compiled(
    _refused_page.where(refused_scans.c.show_id == bindparam("show_id"))
)


async def refused_page(
    tx: Transaction, show_id: UUID | None, before: UUID, limit: int
) -> list[RefusedScanRecord]:
    """Of a show or of all shows, the newest first."""
    parameters = {"show_id": show_id, "before": before, "limit": limit}
    statement = FIND_REFUSED if show_id is None else FIND_REFUSED_OF_SHOW
    rows = await tx.execute(statement, parameters)
    return [RefusedScanRecord(**dict(row)) for row in rows]


_oldest_refused = (
    select(refused_scans.c.refusal_id)
    .where(refused_scans.c.refusal_id < bindparam("before"))
    .order_by(refused_scans.c.refusal_id)
    .limit(bindparam("limit", type_=BigInteger))
)
DELETE_REFUSED = compiled(
    delete(refused_scans).where(refused_scans.c.refusal_id.in_(_oldest_refused))
)


async def delete_refused(tx: Transaction, before: UUID, limit: int) -> int:
    """Delete refused scans with older ids; how many."""
    return (await tx.execute(DELETE_REFUSED, {"before": before, "limit": limit})).rowcount


FIND_ADMITTED = compiled(
    select(admissions.c.seat, admissions.c.scan_id, admissions.c.gate, admissions.c.scanned_at)
    .where(
        admissions.c.region == bindparam("region"),
        admissions.c.booking_id == bindparam("booking_id"),
    )
    .order_by(admissions.c.seat)
)


async def admitted_seats(tx: Transaction, region: str, booking_id: UUID) -> list[AdmittedSeat]:
    """The seats of a booking that were admitted."""
    rows = await tx.execute(FIND_ADMITTED, {"region": region, "booking_id": booking_id})
    return [AdmittedSeat(*row) for row in rows]


FIND_BOOKINGS_OF_SEAT = text(
    "SELECT b.booking_id, b.held FROM (SELECT s.booking_id, true AS held FROM booking_seats s"
    " JOIN shows w ON w.region = s.region AND w.show_id = s.show_id"
    " WHERE w.show_id = :show_id AND s.seat = :seat"
    " UNION SELECT r.booking_id, false AS held FROM revoked_tickets r"
    " JOIN shows w ON w.region = r.region AND w.show_id = r.show_id"
    " WHERE w.show_id = :show_id AND r.seat = :seat) b"
    " ORDER BY b.held DESC, b.booking_id DESC",
    admissions,
)


async def bookings_of_seat(tx: Transaction, show_id: UUID, seat: str) -> list[UUID]:
    """The booking that has a seat of a show, then those that had it and cancelled it."""
    rows = await tx.execute(FIND_BOOKINGS_OF_SEAT, {"show_id": show_id, "seat": seat})
    return list(dict.fromkeys(row.booking_id for row in rows))
