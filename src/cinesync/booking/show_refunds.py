"""All bookings of a show given back by staff, page by page, once for each id.

The request ends the sale of the show, tells the programme, and gives the first page back; whoever
still pays for it is refunded. How far it has come is a row of `show_refunds`. A loop goes on from
there until nothing is left, whichever process is killed meanwhile, and neither the loop nor a
repeated request refunds anybody twice: a booking that was given back has no seats any more by which
it would be found.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from cinesync.booking import cancellation_store, held_seats_store, service, store
from cinesync.booking.cancellation import whole_refund
from cinesync.booking.model import NEXT, AuditAction, Cause, Show, State
from cinesync.booking.staff_refunds import RefundIdUsed
from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import SYSTEM, Actor
from cinesync.chassis.database import Transaction, text
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingCancelled, ShowRefundBegun

PAGE_MAX = 100
PROGRESS_COLUMNS = (
    "refund_id, show_id, note, currency, bookings_refunded, refund_cents, started_at, finished_at"
)


class RefundShow(Struct, frozen=True, kw_only=True):
    """Staff give a show back, `limit` bookings of it now. `note` says why, for the customers."""

    refund_id: UUID
    show_id: UUID
    note: str
    limit: int
    by: Actor
    by_id: UUID


class Progress(Struct, frozen=True):
    """How far the refund of a show has come."""

    refund_id: UUID
    show_id: UUID
    note: str
    currency: str
    bookings_refunded: int
    refund_cents: int
    started_at: datetime
    finished_at: datetime | None
    bookings_left: int = 0


class Page(Struct, frozen=True):
    """What one request did, and how far it has come with that."""

    progress: Progress
    events: Sequence[BookingCancelled]


async def refund_show(tx: Transaction, command: RefundShow) -> Page:
    """The next page. Raises UnknownShow, RefundIdUsed."""
    show = await service.find_show(tx, command.show_id)
    begun = await _lock(tx, command.refund_id)
    if begun is None:
        await _begin(tx, command, show)
        await _let_go_of_holds(tx, show)
        await outbox.append(tx, [_begun(command, show)])
        await audit_log.append(tx, [_entry(command, AuditAction.SHOW_REFUND_BEGUN)])
    elif begun.show_id != command.show_id:
        raise RefundIdUsed
    events = await _refund(tx, command, await _booked_ids(tx, show, command.limit))
    left = await _count_booked(tx, show)
    progress = await _advance(tx, command, events, left)
    if progress.finished_at is not None and (begun is None or begun.finished_at is None):
        await audit_log.append(tx, [_entry(command, AuditAction.SHOW_REFUNDED, progress)])
    return Page(progress, events)


async def unfinished(tx: Transaction, limit: int) -> list[RefundShow]:
    """The next page of each that was begun and is not over, the oldest first."""
    statement = text(
        "SELECT refund_id, show_id, note, actor_id FROM show_refunds WHERE finished_at IS NULL"
        " ORDER BY started_at ASC, refund_id ASC LIMIT CAST(:limit AS bigint)"
    )
    return [
        RefundShow(
            refund_id=row.refund_id,
            show_id=row.show_id,
            note=row.note,
            limit=PAGE_MAX,
            by=Actor(SYSTEM.role, row.actor_id),
            by_id=row.actor_id,
        )
        for row in await tx.execute(statement, {"limit": limit})
    ]


async def unfinished_shows(tx: Transaction, show_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the shows that are being given back."""
    statement = text(
        "SELECT show_id FROM show_refunds WHERE finished_at IS NULL"
        " AND show_id = ANY(CAST(:show_ids AS uuid[]))"
    )
    return {row.show_id for row in await tx.execute(statement, {"show_ids": list(show_ids)})}


async def progress_of(tx: Transaction, show_id: UUID, refund_id: UUID) -> Progress | None:
    """How far it has come, if it was begun."""
    show = await service.find_show(tx, show_id)
    found = await _lock(tx, refund_id)
    if found is None or found.show_id != show_id:
        return None
    return _with_left(found, await _count_booked(tx, show))


async def _refund(
    tx: Transaction, command: RefundShow, ids: Sequence[UUID]
) -> list[BookingCancelled]:
    """Bookings end, their seats are free, their money is on its way."""
    if not ids:
        return []
    before = await store.lock_bookings(tx, ids)
    keys = [(booking.region, booking.booking_id) for booking in before.values()]
    after = await store.set_cancelled(tx, keys, [State.CONFIRMED], "show", command.note)
    refunds = {
        booking.booking_id: whole_refund(
            before[booking.booking_id], reason="show", actor_id=command.by_id, note=command.note
        )
        for booking in after
    }
    await cancellation_store.insert_refunds(tx, list(refunds.values()))
    await store.free_seats(tx, [claim for booking in after for claim in store.claims_of(booking)])
    events = [
        service.booking_cancelled(booking, refunds[booking.booking_id].refund_cents)
        for booking in after
    ]
    await outbox.append(tx, events)
    return events


def _begun(command: RefundShow, show: Show) -> ShowRefundBegun:
    return ShowRefundBegun(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=show.show_id,
        region=show.region,
        reason=command.note,
    )


async def _lock(tx: Transaction, refund_id: UUID) -> Progress | None:
    statement = text(
        f"SELECT {PROGRESS_COLUMNS} FROM show_refunds"  # noqa: S608 a constant
        " WHERE refund_id = CAST(:refund_id AS uuid) FOR UPDATE"
    )
    row = (await tx.execute(statement, {"refund_id": refund_id})).first()
    return Progress(*row) if row else None


async def _begin(tx: Transaction, command: RefundShow, show: Show) -> None:
    """Nobody buys it any more; remember that it began."""
    end_sale = text(
        "UPDATE shows SET cancelled = true, cancel_reason = CAST(:note AS text)"
        " WHERE region = CAST(:region AS text) AND show_id = CAST(:show_id AS uuid)"
        " AND NOT cancelled"
    )
    key = {"region": show.region, "show_id": show.show_id}
    await tx.execute(end_sale, {"note": command.note, **key})
    statement = text(
        "INSERT INTO show_refunds (refund_id, region, show_id, note, actor_id, currency,"
        " bookings_refunded, refund_cents, started_at) VALUES (CAST(:refund_id AS uuid),"
        " CAST(:region AS text), CAST(:show_id AS uuid), CAST(:note AS text),"
        " CAST(:actor_id AS uuid), CAST(:currency AS text), 0, 0, now())"
    )
    parameters = {
        "refund_id": command.refund_id,
        "note": command.note,
        "actor_id": command.by_id,
        "currency": show.currency,
        **key,
    }
    await tx.execute(statement, parameters)


async def _let_go_of_holds(tx: Transaction, show: Show) -> None:
    """Nobody shall go on to pay for seats of a show that is given back."""
    statement = text(
        "DELETE FROM booking_seats WHERE region = CAST(:region AS text)"
        " AND show_id = CAST(:show_id AS uuid) AND state = 'held' RETURNING booking_id"
    )
    rows = await tx.execute(statement, {"region": show.region, "show_id": show.show_id})
    if rows:
        keys = sorted({(show.region, row.booking_id) for row in rows})
        after = NEXT[State.HELD, Cause.SHOW_CANCELLED]
        await store.set_states(tx, keys, [State.HELD], after)
        await held_seats_store.forget(tx, keys)  # their holders did not give them back


async def _booked_ids(tx: Transaction, show: Show, limit: int) -> list[UUID]:
    statement = text(
        "SELECT DISTINCT booking_id FROM booking_seats WHERE region = CAST(:region AS text)"
        " AND show_id = CAST(:show_id AS uuid) AND state = 'booked'"
        " ORDER BY booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    parameters = {"region": show.region, "show_id": show.show_id, "limit": limit}
    return [row.booking_id for row in await tx.execute(statement, parameters)]


async def _count_booked(tx: Transaction, show: Show) -> int:
    statement = text(
        "SELECT count(DISTINCT booking_id) AS bookings FROM booking_seats"
        " WHERE region = CAST(:region AS text) AND show_id = CAST(:show_id AS uuid)"
        " AND state = 'booked'"
    )
    row = (await tx.execute(statement, {"region": show.region, "show_id": show.show_id})).one()
    return int(row.bookings)


async def _advance(
    tx: Transaction, command: RefundShow, events: Sequence[BookingCancelled], left: int
) -> Progress:
    statement = text(
        "UPDATE show_refunds SET"  # noqa: S608 a constant
        " bookings_refunded = bookings_refunded + CAST(:bookings AS bigint),"
        " refund_cents = refund_cents + CAST(:cents AS bigint), finished_at = CASE"
        " WHEN CAST(:is_over AS boolean) THEN COALESCE(finished_at, now()) END"
        f" WHERE refund_id = CAST(:refund_id AS uuid) RETURNING {PROGRESS_COLUMNS}"
    )
    parameters = {
        "bookings": len(events),
        "cents": sum(event.refund_cents for event in events),
        "is_over": not left,
        "refund_id": command.refund_id,
    }
    return _with_left(Progress(*(await tx.execute(statement, parameters)).one()), left)


def _with_left(progress: Progress, left: int) -> Progress:
    return replace(progress, bookings_left=left)


def _entry(
    command: RefundShow, action: AuditAction, progress: Progress | None = None
) -> audit_log.Entry:
    after = (
        None
        if progress is None
        else {
            "bookings_refunded": progress.bookings_refunded,
            "refund_cents": progress.refund_cents,
            "currency": progress.currency,
        }
    )
    return audit_log.Entry(
        actor=command.by,
        action=action,
        object_kind="show",
        object_id=command.show_id,
        after=after,
        reason=command.note,
    )
