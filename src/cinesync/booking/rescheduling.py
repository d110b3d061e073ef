"""Shows that move: what their customers are told, and from which time on.

A change of a show is applied at once, in the transaction that hears of it. Its customers are told
afterwards, page by page, so that no transaction grows with the number of tickets sold: a row of
`reschedule_notices` remembers how far that has come.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cinesync.booking import catalog
from cinesync.booking.model import Move, PricedSeat, Show, State, Terms
from cinesync.chassis import clock, outbox
from cinesync.chassis.db import Row, Transaction, text
from cinesync.contracts.booking import BookingRescheduled
from cinesync.contracts.movies import ShowChanged

NIL = UUID(int=0)


class Notice(msgspec.Struct, frozen=True):
    """A move whose customers are not all told yet; those up to `told_until` are."""

    region: str
    show_id: UUID
    revision: int
    starts_at_before: datetime
    starts_at: datetime
    ends_at: datetime
    moved_at: datetime
    told_until: UUID


def moves_after(show: Show, change: ShowChanged) -> Sequence[Move]:
    """A show's changes of time with this one."""
    if change.starts_at == show.starts_at:
        return show.moves
    return [*show.moves, Move(show.starts_at, show.read_at)]


async def note_moves(tx: Transaction, changed: Sequence[tuple[Show, ShowChanged]]) -> None:
    """Remember to tell the customers of shows that start at another time."""
    statement = text(
        "INSERT INTO reschedule_notices (region, show_id, revision, starts_at_before, starts_at,"
        " ends_at, moved_at, told_until) SELECT t.region, t.show_id, t.revision, t.before,"
        " t.starts_at, t.ends_at, t.moved_at, CAST(:nil AS uuid) FROM unnest("
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
        "nil": NIL,
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
    """Tell the next customers of a show that moved far enough; whether there may be more.

    Far enough is this move, or all moves since they booked: small ones add up.
    """
    notice = await _next_notice(tx)
    if notice is None:
        return False
    show = (await catalog.find_shows(tx, [notice.show_id]))[notice.show_id]
    is_far = abs(notice.starts_at - notice.starts_at_before) >= terms.moved_by
    rows = await _bookings_of(tx, notice, limit)
    told = [row for row in rows if is_far or show.is_moved_since(row.created_at, terms)]
    await outbox.append(tx, [_event(notice, row) for row in told])
    if len(rows) < limit:
        await _finish(tx, notice)
    else:
        await _tell_until(tx, notice, rows[-1].booking_id)
    return True


async def _next_notice(tx: Transaction) -> Notice | None:
    statement = text(
        "SELECT region, show_id, revision, starts_at_before, starts_at, ends_at, moved_at,"
        " told_until FROM reschedule_notices"
        " ORDER BY region ASC, show_id ASC, revision ASC LIMIT 1 FOR UPDATE"
    )
    row = (await tx.execute(statement)).first()
    return Notice(*row) if row else None


async def _bookings_of(tx: Transaction, notice: Notice, limit: int) -> Sequence[Row]:
    """Bookings of the show that were made before it moved, by id."""
    statement = text(
        "SELECT b.booking_id, b.customer_id, b.seats, b.created_at FROM bookings b"
        " WHERE b.booking_id IN"
        " (SELECT s.booking_id FROM booking_seats s WHERE s.region = CAST(:region AS text)"
        " AND s.show_id = CAST(:show_id AS uuid) AND s.state = 'booked')"
        " AND b.region = CAST(:region AS text) AND b.state = CAST(:confirmed AS text)"
        " AND b.created_at < CAST(:moved_at AS timestamptz)"
        " AND b.booking_id > CAST(:told_until AS uuid)"
        " ORDER BY b.booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    parameters = {
        "region": notice.region,
        "show_id": notice.show_id,
        "confirmed": str(State.CONFIRMED),
        "moved_at": notice.moved_at,
        "told_until": notice.told_until,
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


async def _tell_until(tx: Transaction, notice: Notice, booking_id: UUID) -> None:
    statement = text(
        "UPDATE reschedule_notices SET told_until = CAST(:booking_id AS uuid)"
        " WHERE region = CAST(:region AS text) AND show_id = CAST(:show_id AS uuid)"
        " AND revision = CAST(:revision AS bigint)"
    )
    await tx.execute(statement, {"booking_id": booking_id, **_key(notice)})


async def _finish(tx: Transaction, notice: Notice) -> None:
    statement = text(
        "DELETE FROM reschedule_notices WHERE region = CAST(:region AS text)"
        " AND show_id = CAST(:show_id AS uuid) AND revision = CAST(:revision AS bigint)"
    )
    await tx.execute(statement, _key(notice))


def _key(notice: Notice) -> dict[str, object]:
    return {
        "region": notice.region,
        "show_id": notice.show_id,
        "revision": notice.revision,
    }
