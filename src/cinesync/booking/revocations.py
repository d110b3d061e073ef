"""Tickets that admit nobody any more: written when they are revoked, told to scanners as a list.

A list is of a show, or of a theater and a day; it is whole, because there are few revoked tickets
and a scanner that missed a change must not keep a hole. Its `seq` grows with every change in its
scope and with nothing else, without a counter that all would write to.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cinesync.booking import store
from cinesync.booking.model import Show, State
from cinesync.booking.tickets import TicketName
from cinesync.chassis.database import Transaction, text

DISPUTED = "disputed"


class Revocations(msgspec.Struct, frozen=True):
    """The revoked tickets of some shows at `issued_at`; of `cancelled_shows` no ticket is good."""

    seq: int
    issued_at: datetime
    cancelled_shows: Sequence[UUID]
    tickets: Sequence[str]


async def revoke(
    tx: Transaction, show: Show, seats: Mapping[UUID, Sequence[str]], reason: str
) -> None:
    """The tickets of these seats, by booking, end. One that is revoked stays as it is."""
    statement = text(
        "INSERT INTO revoked_tickets (region, show_id, booking_id, seat, revoked, changes, reason,"
        " revoked_at) SELECT CAST(:region AS text), CAST(:show_id AS uuid), t.booking_id, t.seat,"
        " true, 1, CAST(:reason AS text), now() FROM unnest(CAST(:booking_ids AS uuid[]),"
        " CAST(:seats AS text[])) AS t(booking_id, seat)"
        " ON CONFLICT (region, show_id, booking_id, seat) DO UPDATE SET revoked = true,"
        " changes = revoked_tickets.changes + 1, reason = excluded.reason, revoked_at = now()"
        " WHERE NOT revoked_tickets.revoked OR revoked_tickets.reason <> excluded.reason"
    )
    ordered = sorted({(booking_id, seat) for booking_id, of in seats.items() for seat in of})
    if not ordered:
        return
    parameters = {
        "region": show.region,
        "show_id": show.show_id,
        "reason": reason,
        "booking_ids": [booking_id for booking_id, _ in ordered],
        "seats": [seat for _, seat in ordered],
    }
    await tx.execute(statement, parameters)


async def revoke_bookings(tx: Transaction, booking_ids: Sequence[UUID], reason: str) -> None:
    """All tickets of these bookings end, although the bookings stand: their money was taken back
    by a dispute. Unknown ones, and those that are not confirmed, have no tickets to revoke."""
    statement = text(
        "INSERT INTO revoked_tickets (region, show_id, booking_id, seat, revoked, changes, reason,"
        " revoked_at) SELECT b.region, b.show_id, b.booking_id, e.value ->> 'seat', true, 1,"
        " CAST(:reason AS text), now() FROM bookings b"
        " CROSS JOIN LATERAL jsonb_array_elements(b.seats) AS e(value)"
        " WHERE b.booking_id = ANY(CAST(:booking_ids AS uuid[]))"
        " AND b.state = CAST(:confirmed AS text)"
        " ON CONFLICT (region, show_id, booking_id, seat) DO UPDATE SET revoked = true,"
        " changes = revoked_tickets.changes + 1, reason = excluded.reason, revoked_at = now()"
        " WHERE NOT revoked_tickets.revoked"
    )
    parameters = {
        "booking_ids": sorted(set(booking_ids)),
        "reason": reason,
        "confirmed": str(State.CONFIRMED),
    }
    await tx.execute(statement, parameters)


async def restore_bookings(tx: Transaction, booking_ids: Sequence[UUID], reason: str) -> None:
    """Tickets that were revoked for this reason are good again: the dispute was won."""
    statement = text(
        "UPDATE revoked_tickets SET revoked = false, changes = revoked_tickets.changes + 1"
        " FROM bookings b WHERE b.booking_id = ANY(CAST(:booking_ids AS uuid[]))"
        " AND b.state = CAST(:confirmed AS text) AND revoked_tickets.region = b.region"
        " AND revoked_tickets.show_id = b.show_id AND revoked_tickets.booking_id = b.booking_id"
        " AND revoked_tickets.revoked AND revoked_tickets.reason = CAST(:reason AS text)"
    )
    parameters = {
        "booking_ids": sorted(set(booking_ids)),
        "reason": reason,
        "confirmed": str(State.CONFIRMED),
    }
    await tx.execute(statement, parameters)


async def of_show(tx: Transaction, show_id: UUID) -> Revocations:
    """The list of one show."""
    return await _list(tx, "s.show_id = CAST(:show_id AS uuid)", {"show_id": show_id})


async def of_theater(
    tx: Transaction, theater_id: UUID, begins: datetime, ends: datetime
) -> Revocations:
    """The list of a theater's shows that start in a time."""
    where = (
        "s.theater_id = CAST(:theater_id AS uuid) AND s.starts_at >= CAST(:begins AS timestamptz)"
        " AND s.starts_at < CAST(:ends AS timestamptz)"
    )
    return await _list(tx, where, {"theater_id": theater_id, "begins": begins, "ends": ends})


async def _list(tx: Transaction, where: str, parameters: Mapping[str, object]) -> Revocations:
    statement = text(
        "SELECT s.show_id, s.cancelled, now() AS issued_at, r.booking_id, r.seat, r.revoked,"  # noqa: S608 constants
        " r.changes FROM shows s LEFT JOIN revoked_tickets r"
        " ON r.region = s.region AND r.show_id = s.show_id"
        f" WHERE {where} ORDER BY s.show_id ASC, r.booking_id ASC, r.seat ASC"
    )
    rows = await tx.execute(statement, parameters)
    cancelled = {row.show_id for row in rows if row.cancelled}
    issued_at = rows[0].issued_at if rows else await store.database_now(tx)
    return Revocations(
        seq=len(cancelled) + sum(row.changes or 0 for row in rows),
        issued_at=issued_at,
        cancelled_shows=sorted(cancelled),
        tickets=[
            str(TicketName(row.booking_id, row.seat))
            for row in rows
            if row.revoked and row.show_id not in cancelled
        ],
    )
