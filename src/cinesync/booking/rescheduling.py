"""Shows that move: what their customers are told, and from which time on.

A change of a show is applied at once, in the transaction that hears of it. Its customers are told
afterwards, page by page, so that no transaction grows with the number of tickets sold. A row of
`reschedule_notices` stands for a move until all are told, those too who had chosen their seats
before it and paid after it; `reschedules_told` says who is, so that nobody is told twice.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cinesync.booking import show_store
from cinesync.booking.model import Move, PricedSeat, Show, State, Terms
from cinesync.chassis import clock
from cinesync.chassis.database import Row, Transaction, text
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingRescheduled
from cinesync.contracts.movies import ShowChanged

# Money may come after a hold is over; for that long people are looked for.
LATE = timedelta(minutes=15)
PAUSE_SECONDS = 30


class Notice(msgspec.Struct, frozen=True):
    """A move whose customers are not all told yet. `is_over`: nobody who chose seats before it can
    still pay in time."""

    region: str
    show_id: UUID
    revision: int
    starts_at_before: datetime
    starts_at: datetime
    ends_at: datetime
    moved_at: datetime
    is_over: bool


def moves_after(show: Show, change: ShowChanged) -> Sequence[Move]:
    """A show's changes of time with this one."""
    if change.starts_at == show.starts_at:
        return show.moves
    return [*show.moves, Move(show.starts_at, show.read_at)]


async def note_moves(tx: Transaction, changed: Sequence[tuple[Show, ShowChanged]]) -> None:
    """Remember to tell the customers of shows that start at another time."""
    statement = text(
        "INSERT INTO reschedule_notices (region, show_id, revision, starts_at_before, starts_at,"
        " ends_at, moved_at, due_at) SELECT t.region, t.show_id, t.revision, t.before,"
        " t.starts_at, t.ends_at, t.moved_at, now() FROM unnest("
        " CAST(:regions AS text[]), CAST(:show_ids AS uuid[]), CAST(:revisions AS bigint[]),"
        " CAST(:befores AS timestamptz[]), CAST(:starts AS timestamptz[]),"
        " CAST(:ends AS timestamptz[]), CAST(:moved AS timestamptz[]))"
        " AS t(region, show_id, revision, before, starts_at, ends_at, moved_at)"
        " ON CONFLICT (region, show_id, revision) DO NOTHING"
    )
    moved = [(show, change) for show, change in changed if change.starts_at != show.starts_at]
    if not moved:
        return
    parameters = {
        "regions": [show.region for show, _ in moved],
        "show_ids": [show.show_id for show, _ in moved],
        "revisions": [change.revision for _, change in moved],
        "befores": [show.starts_at for show, _ in moved],
        "starts": [change.starts_at for _, change in moved],
        "ends": [change.ends_at for _, change in moved],
        "moved": [show.read_at for show, _ in moved],
    }
    await tx.execute(statement, parameters)


async def tell_customers(tx: Transaction, terms: Terms, limit: int) -> bool:
    """Tell the next customers of a show that moved far enough; whether there may be more now.

    Far enough is this move, or all moves since they booked: small ones add up.
    """
    notice = await _next_notice(tx, _patience(terms))
    if notice is None:
        return False
    show = (await show_store.find_shows(tx, [notice.show_id]))[notice.show_id]
    is_far = abs(notice.starts_at - notice.starts_at_before) >= terms.moved_by
    rows = await _bookings_of(tx, notice, limit)
    told = [row for row in rows if is_far or show.is_moved_since(row.created_at, terms)]
    await outbox.append(tx, [_event(notice, row) for row in told])
    if len(rows) < limit and notice.is_over:
        await _finish(tx, notice)
        return True
    await _note_told(tx, notice, [row.booking_id for row in rows])
    if len(rows) < limit:
        await _put_off(tx, notice)
    return True


def _patience(terms: Terms) -> timedelta:
    """How long seats that were chosen before a move may still become a booking."""
    return timedelta(seconds=terms.hold_seconds * (1 + terms.extensions_max)) + LATE


async def _next_notice(tx: Transaction, patience: timedelta) -> Notice | None:
    statement = text(
        "SELECT region, show_id, revision, starts_at_before, starts_at, ends_at, moved_at,"
        " moved_at + CAST(:seconds AS double precision) * interval '1 second' < now() AS is_over"
        " FROM reschedule_notices WHERE due_at <= now()"
        " ORDER BY region ASC, show_id ASC, revision ASC LIMIT 1 FOR UPDATE"
    )
    row = (await tx.execute(statement, {"seconds": patience.total_seconds()})).first()
    return Notice(*row) if row else None


async def _bookings_of(tx: Transaction, notice: Notice, limit: int) -> Sequence[Row]:
    """Bookings of the show that were begun before it moved and are not told yet."""
    statement = text(
        "SELECT b.booking_id, b.customer_id, b.seats, b.created_at FROM bookings b"
        " WHERE b.booking_id IN"
        " (SELECT s.booking_id FROM booking_seats s WHERE s.region = CAST(:region AS text)"
        " AND s.show_id = CAST(:show_id AS uuid) AND s.state = 'booked')"
        " AND b.region = CAST(:region AS text) AND b.state = CAST(:confirmed AS text)"
        " AND b.created_at < CAST(:moved_at AS timestamptz)"
        " AND NOT EXISTS (SELECT 1 FROM reschedules_told t WHERE t.show_id = b.show_id"
        " AND t.revision = CAST(:revision AS bigint) AND t.booking_id = b.booking_id)"
        " ORDER BY b.booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    parameters = {
        "region": notice.region,
        "show_id": notice.show_id,
        "confirmed": str(State.CONFIRMED),
        "moved_at": notice.moved_at,
        "revision": notice.revision,
        "limit": limit,
    }
    return await tx.execute(statement, parameters)


def _event(notice: Notice, row: Row) -> BookingRescheduled:
    return BookingRescheduled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        booking_id=row.booking_id,
        customer_id=row.customer_id,
        show_id=notice.show_id,
        region=notice.region,
        seats=[PricedSeat(**priced).seat for priced in row.seats],
        starts_at_before=notice.starts_at_before,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        revision=notice.revision,
    )


async def _note_told(tx: Transaction, notice: Notice, booking_ids: Sequence[UUID]) -> None:
    statement = text(
        "INSERT INTO reschedules_told (show_id, revision, booking_id)"
        " SELECT CAST(:show_id AS uuid), CAST(:revision AS bigint), t.booking_id"
        " FROM unnest(CAST(:booking_ids AS uuid[])) AS t(booking_id)"
    )
    if booking_ids:
        parameters = {
            "show_id": notice.show_id,
            "revision": notice.revision,
            "booking_ids": booking_ids,
        }
        await tx.execute(statement, parameters)


async def _put_off(tx: Transaction, notice: Notice) -> None:
    """All who are there are told; others may come."""
    statement = text(
        "UPDATE reschedule_notices SET due_at = now()"
        " + CAST(:seconds AS double precision) * interval '1 second'"
        " WHERE region = CAST(:region AS text) AND show_id = CAST(:show_id AS uuid)"
        " AND revision = CAST(:revision AS bigint)"
    )
    await tx.execute(statement, {"seconds": float(PAUSE_SECONDS), **_key(notice)})


async def _finish(tx: Transaction, notice: Notice) -> None:
    statement = text(
        "DELETE FROM reschedule_notices WHERE region = CAST(:region AS text)"
        " AND show_id = CAST(:show_id AS uuid) AND revision = CAST(:revision AS bigint)"
    )
    await tx.execute(statement, _key(notice))
    told = text(
        "DELETE FROM reschedules_told WHERE show_id = CAST(:show_id AS uuid)"
        " AND revision = CAST(:revision AS bigint)"
    )
    await tx.execute(told, {"show_id": notice.show_id, "revision": notice.revision})


def _key(notice: Notice) -> dict[str, object]:
    return {
        "region": notice.region,
        "show_id": notice.show_id,
        "revision": notice.revision,
    }
