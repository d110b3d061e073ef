"""Statements about revoked tickets, and the lists of them for scanners.

A list covers a show, or a theater and a day. It is complete each time: few tickets are revoked, and
a scanner that missed an update must not miss a ticket. Its `seq` grows with every change in its
scope and with nothing else. It is the sum of the `changes` of its rows, so no counter is shared by
writers.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, bindparam, func, select, update

from cinesync.booking.model import BookingState, Show
from cinesync.booking.tables import bookings, revoked_tickets, shows
from cinesync.booking.tickets import TicketId
from cinesync.chassis.database import (
    Statement,
    Transaction,
    any_of,
    batch,
    compiled,
    database_now,
    insert_from,
    text,
)

DISPUTED: Final = "disputed"


class RevokedTickets(msgspec.Struct, frozen=True):
    """The revoked tickets of some shows at `issued_at`. No ticket of `cancelled_shows` is valid."""

    seq: int
    issued_at: datetime
    cancelled_shows: Sequence[UUID]
    tickets: Sequence[str]


TICKETS = batch("tickets", revoked_tickets.c.booking_id, revoked_tickets.c.seat)
_revoke = insert_from(
    revoked_tickets,
    TICKETS,
    region=bindparam("region"),
    show_id=bindparam("show_id"),
    revoked=True,
    changes=1,
    reason=bindparam("reason"),
    revoked_at=func.now(),
)
REVOKE = compiled(
    _revoke.on_conflict_do_update(
        index_elements=list(revoked_tickets.primary_key),
        set_={
            "revoked": True,
            "changes": revoked_tickets.c.changes + 1,
            "reason": _revoke.excluded.reason,
            "revoked_at": func.now(),
        },
        where=~revoked_tickets.c.revoked | (revoked_tickets.c.reason != _revoke.excluded.reason),
    )
)


async def revoke(
    tx: Transaction, show: Show, seats: Mapping[UUID, Sequence[str]], reason: str
) -> None:
    """Revoke the tickets of these seats, by booking."""
    tickets = sorted({(booking_id, seat) for booking_id, names in seats.items() for seat in names})
    if not tickets:
        return
    parameters = {
        "region": show.region,
        "show_id": show.show_id,
        "reason": reason,
        "tickets": tickets,
    }
    await tx.execute(REVOKE, parameters)


REVOKE_BOOKINGS = text(
    "INSERT INTO revoked_tickets (region, show_id, booking_id, seat, revoked, changes, reason,"
    " revoked_at) SELECT b.region, b.show_id, b.booking_id, e.value ->> 'seat', true, 1,"
    " :reason, now() FROM bookings b"
    " CROSS JOIN LATERAL jsonb_array_elements(b.seats) AS e(value)"
    " WHERE b.booking_id = ANY(:booking_ids) AND b.state = 'confirmed'"
    " ON CONFLICT (region, show_id, booking_id, seat) DO UPDATE SET revoked = true,"
    " changes = revoked_tickets.changes + 1, reason = excluded.reason, revoked_at = now()"
    " WHERE NOT revoked_tickets.revoked",
    revoked_tickets,
    booking_ids=ARRAY(Uuid),
)


async def revoke_bookings(tx: Transaction, booking_ids: Sequence[UUID], reason: str) -> None:
    """Revoke all tickets of these bookings, which stay confirmed: a dispute holds their money.
    Other bookings have no tickets to revoke."""
    parameters = {"booking_ids": sorted(set(booking_ids)), "reason": reason}
    await tx.execute(REVOKE_BOOKINGS, parameters)


RESTORE_BOOKINGS = compiled(
    update(revoked_tickets)
    .where(
        any_of(bookings.c.booking_id, "booking_ids"),
        bookings.c.state == BookingState.CONFIRMED,
        revoked_tickets.c.region == bookings.c.region,
        revoked_tickets.c.show_id == bookings.c.show_id,
        revoked_tickets.c.booking_id == bookings.c.booking_id,
        revoked_tickets.c.revoked,
        revoked_tickets.c.reason == bindparam("for_reason"),
    )
    .values(revoked=False, changes=revoked_tickets.c.changes + 1)
)


async def restore_bookings(tx: Transaction, booking_ids: Sequence[UUID], reason: str) -> None:
    """Make tickets valid again that were revoked for this reason: the dispute was won."""
    parameters = {"booking_ids": sorted(set(booking_ids)), "for_reason": reason}
    await tx.execute(RESTORE_BOOKINGS, parameters)


def _select_revoked(*scope: ColumnElement[bool]) -> Select[Any]:
    joined = shows.outerjoin(
        revoked_tickets,
        (revoked_tickets.c.region == shows.c.region)
        & (revoked_tickets.c.show_id == shows.c.show_id),
    )
    return (
        select(
            shows.c.show_id,
            shows.c.cancelled,
            func.now().label("issued_at"),
            revoked_tickets.c.booking_id,
            revoked_tickets.c.seat,
            revoked_tickets.c.revoked,
            revoked_tickets.c.changes,
        )
        .select_from(joined)
        .where(*scope)
        .order_by(shows.c.show_id, revoked_tickets.c.booking_id, revoked_tickets.c.seat)
    )


FIND_OF_SHOW = compiled(_select_revoked(shows.c.show_id == bindparam("show_id")))
FIND_OF_THEATER = compiled(
    _select_revoked(
        shows.c.theater_id == bindparam("theater_id"),
        shows.c.starts_at >= bindparam("begins"),
        shows.c.starts_at < bindparam("ends"),
    )
)


async def of_show(tx: Transaction, show_id: UUID) -> RevokedTickets:
    """The list of one show."""
    return await _read(tx, FIND_OF_SHOW, {"show_id": show_id})


async def of_theater(
    tx: Transaction, theater_id: UUID, begins: datetime, ends: datetime
) -> RevokedTickets:
    """The list of a theater's shows that start between these times."""
    parameters = {"theater_id": theater_id, "begins": begins, "ends": ends}
    return await _read(tx, FIND_OF_THEATER, parameters)


async def _read(
    tx: Transaction, statement: Statement, parameters: Mapping[str, object]
) -> RevokedTickets:
    rows = await tx.execute(statement, parameters)
    cancelled = {row.show_id for row in rows if row.cancelled}
    issued_at = rows[0].issued_at if rows else await database_now(tx)
    return RevokedTickets(
        seq=len(cancelled) + sum(row.changes or 0 for row in rows),
        issued_at=issued_at,
        cancelled_shows=sorted(cancelled),
        tickets=[
            str(TicketId(row.booking_id, row.seat))
            for row in rows
            if row.revoked and row.show_id not in cancelled
        ],
    )
