"""Statements about who is inside: one to read a batch of scans by, one to write it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cinesync.booking.admission_rules import Admissible, Decision, RefusedScan, Used, when
from cinesync.booking.model import State
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, text


async def find_admissible(tx: Transaction, booking_ids: Iterable[UUID]) -> dict[UUID, Admissible]:
    """Bookings with their shows, what of them is revoked, and who of them is inside."""
    statement = text(
        "SELECT b.region, b.booking_id, b.state, b.seats, b.cancelled_seats, s.show_id,"
        " s.cancelled, s.movie_title, s.theater_id, s.auditorium_name, s.time_zone, s.starts_at,"
        " s.ends_at, now() AS read_at,"
        " (SELECT jsonb_agg(r.seat) FROM revoked_tickets r WHERE r.region = b.region"
        " AND r.show_id = b.show_id AND r.booking_id = b.booking_id AND r.revoked) AS revoked,"
        " (SELECT jsonb_agg(jsonb_build_object('seat', a.seat, 'scan_id', a.scan_id, 'gate',"
        " a.gate, 'scanned_at', a.scanned_at)) FROM admissions a WHERE a.region = b.region"
        " AND a.booking_id = b.booking_id) AS used"
        " FROM bookings b JOIN shows s ON s.region = b.region AND s.show_id = b.show_id"
        " WHERE b.booking_id = ANY(CAST(:booking_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"booking_ids": sorted(set(booking_ids))})
    return {row.booking_id: _admissible(row) for row in rows}


def _admissible(row: Any) -> Admissible:
    used = msgspec.convert(row.used or [], list[Used])
    return Admissible(
        region=row.region,
        booking_id=row.booking_id,
        state=State(row.state),
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


async def insert_admissions(
    tx: Transaction, decisions: Sequence[Decision], staff_id: UUID
) -> set[tuple[UUID, str]]:
    """Let in, each seat of a booking once: the primary key decides. Those that were not in."""
    statement = text(
        "INSERT INTO admissions (region, booking_id, seat, show_id, scan_id, gate, by_hand,"
        " staff_id, scanned_at, admitted_at) SELECT t.region, t.booking_id, t.seat, t.show_id,"
        " t.scan_id, t.gate, t.by_hand, CAST(:staff_id AS uuid), t.scanned_at, now() FROM unnest("
        " CAST(:regions AS text[]), CAST(:booking_ids AS uuid[]), CAST(:seats AS text[]),"
        " CAST(:show_ids AS uuid[]), CAST(:scan_ids AS uuid[]), CAST(:gates AS text[]),"
        " CAST(:by_hand AS boolean[]), CAST(:times AS timestamptz[])) AS t(region, booking_id,"
        " seat, show_id, scan_id, gate, by_hand, scanned_at)"
        " ON CONFLICT (region, booking_id, seat) DO NOTHING RETURNING booking_id, seat"
    )
    rows = sorted(
        (
            (decision.found.region, decision.found.booking_id, seat, decision)
            for decision in decisions
            if decision.found is not None
            for seat in decision.fresh
        ),
        key=lambda row: row[:3],
    )
    if not rows:
        return set()
    parameters: Mapping[str, Any] = {
        "staff_id": staff_id,
        "regions": [region for region, *_ in rows],
        "booking_ids": [booking_id for _, booking_id, *_ in rows],
        "seats": [seat for _, _, seat, _ in rows],
        "show_ids": [decision.found.show_id for *_, decision in rows if decision.found],
        "scan_ids": [decision.scan.scan_id for *_, decision in rows],
        "gates": [decision.scan.gate for *_, decision in rows],
        "by_hand": [decision.scan.by_hand for *_, decision in rows],
        "times": [when(d.scan, d.found.read_at) for *_, d in rows if d.found],
    }
    written = await tx.execute(statement, parameters)
    return {(row.booking_id, row.seat) for row in written}


class RefusedScanLine(msgspec.Struct, frozen=True, kw_only=True):
    """A scan that let nobody in, as it is kept."""

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


async def insert_refused(tx: Transaction, refused: Sequence[RefusedScan], staff_id: UUID) -> None:
    """Keep them, each scan once."""
    statement = text(
        "INSERT INTO refused_scans (refusal_id, scan_id, result, booking_id, seats, show_id, gate,"
        " staff_id, scanned_at, refused_at) SELECT t.refusal_id, t.scan_id, t.result,"
        " t.booking_id, CAST(t.seats AS jsonb), t.show_id, t.gate, CAST(:staff_id AS uuid),"
        " least(coalesce(t.scanned_at, now()), now()), now() FROM unnest("
        " CAST(:refusal_ids AS uuid[]), CAST(:scan_ids AS uuid[]), CAST(:results AS text[]),"
        " CAST(:booking_ids AS uuid[]), CAST(:seats AS text[]), CAST(:show_ids AS uuid[]),"
        " CAST(:gates AS text[]), CAST(:times AS timestamptz[])) AS t(refusal_id, scan_id, result,"
        " booking_id, seats, show_id, gate, scanned_at) ON CONFLICT (scan_id) DO NOTHING"
    )
    rows = list({one.scan_id: one for one in refused}.values())
    parameters: Mapping[str, Any] = {
        "staff_id": staff_id,
        "refusal_ids": [clock.new_id() for _ in rows],
        "scan_ids": [one.scan_id for one in rows],
        "results": [str(one.result) for one in rows],
        "booking_ids": [one.booking_id for one in rows],
        "seats": [msgspec.json.encode(one.seats).decode() for one in rows],
        "show_ids": [one.show_id for one in rows],
        "gates": [one.gate for one in rows],
        "times": [one.scanned_at for one in rows],
    }
    await tx.execute(statement, parameters)


async def refused_page(
    tx: Transaction, show_id: UUID | None, before: UUID, limit: int
) -> list[RefusedScanLine]:
    """Of a show or of all of them, the newest first."""
    statement = text(
        "SELECT refusal_id, scan_id, result, booking_id, seats, show_id, gate, staff_id,"
        " scanned_at, refused_at FROM refused_scans"
        " WHERE (CAST(:show_id AS uuid) IS NULL OR show_id = CAST(:show_id AS uuid))"
        " AND refusal_id < CAST(:before AS uuid)"
        " ORDER BY refusal_id DESC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"show_id": show_id, "before": before, "limit": limit})
    return [RefusedScanLine(**dict(row)) for row in rows]


async def forget_refused(tx: Transaction, before: UUID, limit: int) -> int:
    """Drop those with older ids; how many."""
    statement = text(
        "DELETE FROM refused_scans WHERE refusal_id IN (SELECT refusal_id FROM refused_scans"
        " WHERE refusal_id < CAST(:before AS uuid) ORDER BY refusal_id ASC"
        " LIMIT CAST(:limit AS bigint))"
    )
    return (await tx.execute(statement, {"before": before, "limit": limit})).rowcount


async def used_seats(tx: Transaction, region: str, booking_id: UUID) -> list[Used]:
    """Who of a booking is inside."""
    statement = text(
        "SELECT seat, scan_id, gate, scanned_at FROM admissions"
        " WHERE region = CAST(:region AS text) AND booking_id = CAST(:booking_id AS uuid)"
        " ORDER BY seat ASC"
    )
    rows = await tx.execute(statement, {"region": region, "booking_id": booking_id})
    return [Used(*row) for row in rows]


async def bookings_of_seat(tx: Transaction, show_id: UUID, seat: str) -> list[UUID]:
    """The booking that has a seat of a show, then those that had it and gave it back."""
    statement = text(
        "SELECT b.booking_id, b.held FROM (SELECT s.booking_id, true AS held FROM booking_seats s"
        " JOIN shows w ON w.region = s.region AND w.show_id = s.show_id"
        " WHERE w.show_id = CAST(:show_id AS uuid) AND s.seat = CAST(:seat AS text)"
        " UNION SELECT r.booking_id, false AS held FROM revoked_tickets r"
        " JOIN shows w ON w.region = r.region AND w.show_id = r.show_id"
        " WHERE w.show_id = CAST(:show_id AS uuid) AND r.seat = CAST(:seat AS text)) b"
        " ORDER BY b.held DESC, b.booking_id DESC"
    )
    rows = await tx.execute(statement, {"show_id": show_id, "seat": seat})
    return list(dict.fromkeys(row.booking_id for row in rows))
