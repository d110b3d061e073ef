"""Statements about notices of new start times."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Interval, bindparam, delete, exists, func, select, update

from cinesync.booking.model import BookingState, Show
from cinesync.booking.seat_store import BOOKED
from cinesync.booking.tables import (
    booking_seats,
    bookings,
    reschedule_notices,
    reschedules_told,
)
from cinesync.chassis.database import Row, Transaction, batch, compiled, insert_from
from cinesync.contracts.movies import ShowChanged


class RescheduleNotice(msgspec.Struct, frozen=True):
    """A new start time of which not every customer is notified yet. `is_over`: nobody who chose
    seats before the change can still pay in time."""

    region: str
    show_id: UUID
    revision: int
    starts_at_before: datetime
    starts_at: datetime
    ends_at: datetime
    moved_at: datetime
    is_over: bool


_key_columns = (
    reschedule_notices.c.region,
    reschedule_notices.c.show_id,
    reschedule_notices.c.revision,
)
NOTICES = batch(
    "notices",
    *_key_columns,
    reschedule_notices.c.starts_at_before,
    reschedule_notices.c.starts_at,
    reschedule_notices.c.ends_at,
    reschedule_notices.c.moved_at,
)
INSERT_NOTICES = compiled(
    insert_from(reschedule_notices, NOTICES, due_at=func.now()).on_conflict_do_nothing(
        index_elements=list(reschedule_notices.primary_key)
    )
)


async def insert_notices(tx: Transaction, changed: Sequence[tuple[Show, ShowChanged]]) -> None:
    """A notice for each show whose start changes."""
    rows = [
        (
            show.region,
            show.show_id,
            change.revision,
            show.starts_at,
            change.starts_at,
            change.ends_at,
            show.read_at,
        )
        for show, change in changed
        if change.starts_at != show.starts_at
    ]
    if rows:
        await tx.execute(INSERT_NOTICES, {"notices": rows})


LOCK_NEXT = compiled(
    select(
        *_key_columns,
        reschedule_notices.c.starts_at_before,
        reschedule_notices.c.starts_at,
        reschedule_notices.c.ends_at,
        reschedule_notices.c.moved_at,
        (reschedule_notices.c.moved_at + bindparam("window", type_=Interval) < func.now()).label(
            "is_over"
        ),
    )
    .where(reschedule_notices.c.due_at <= func.now())
    .order_by(*_key_columns)
    .limit(1)
    .with_for_update()
)


async def lock_next_notice(tx: Transaction, window: timedelta) -> RescheduleNotice | None:
    """The next notice that is due. It is over when `window` has passed since the change."""
    row = (await tx.execute(LOCK_NEXT, {"window": window})).first()
    return RescheduleNotice(*row) if row else None


_is_notified = exists(
    select(reschedules_told.c.booking_id).where(
        reschedules_told.c.show_id == bookings.c.show_id,
        reschedules_told.c.revision == bindparam("revision"),
        reschedules_told.c.booking_id == bookings.c.booking_id,
    )
)
_booked = select(booking_seats.c.booking_id).where(
    booking_seats.c.region == bindparam("region"),
    booking_seats.c.show_id == bindparam("show_id"),
    booking_seats.c.state == BOOKED,
)
FIND_BOOKINGS = compiled(
    select(bookings.c.booking_id, bookings.c.customer_id, bookings.c.seats, bookings.c.created_at)
    .where(
        bookings.c.booking_id.in_(_booked),
        bookings.c.region == bindparam("region"),
        bookings.c.state == BookingState.CONFIRMED,
        bookings.c.created_at < bindparam("moved_at"),
        ~_is_notified,
    )
    .order_by(bookings.c.booking_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def bookings_to_notify(
    tx: Transaction, notice: RescheduleNotice, limit: int
) -> Sequence[Row]:
    """Bookings of the show from before the change whose customers are not notified yet."""
    parameters = {**_key(notice), "moved_at": notice.moved_at, "limit": limit}
    return await tx.execute(FIND_BOOKINGS, parameters)


NOTIFIED = batch("notified", reschedules_told.c.booking_id)
INSERT_NOTIFIED = compiled(
    insert_from(
        reschedules_told,
        NOTIFIED,
        show_id=bindparam("show_id"),
        revision=bindparam("revision"),
    )
)


async def insert_notified(
    tx: Transaction, notice: RescheduleNotice, booking_ids: Sequence[UUID]
) -> None:
    """The customers of these bookings are notified, or need not be."""
    if booking_ids:
        rows = [(booking_id,) for booking_id in booking_ids]
        await tx.execute(INSERT_NOTIFIED, {**_key(notice), "notified": rows})


_is_notice = (
    (reschedule_notices.c.region == bindparam("region"))
    & (reschedule_notices.c.show_id == bindparam("show_id"))
    & (reschedule_notices.c.revision == bindparam("revision"))
)
POSTPONE = compiled(
    update(reschedule_notices)
    .where(_is_notice)
    .values(due_at=func.now() + bindparam("pause", type_=Interval))
)


async def postpone(tx: Transaction, notice: RescheduleNotice, pause: timedelta) -> None:
    """All customers are notified for now; others may still pay."""
    await tx.execute(POSTPONE, {**_key(notice), "pause": pause})


DELETE_NOTICE = compiled(delete(reschedule_notices).where(_is_notice))
DELETE_NOTIFIED = compiled(
    delete(reschedules_told).where(
        reschedules_told.c.show_id == bindparam("show_id"),
        reschedules_told.c.revision == bindparam("revision"),
    )
)


async def delete_notice(tx: Transaction, notice: RescheduleNotice) -> None:
    """Nobody is left to notify."""
    await tx.execute(DELETE_NOTICE, _key(notice))
    await tx.execute(DELETE_NOTIFIED, _key(notice))


def _key(notice: RescheduleNotice) -> dict[str, Any]:
    return {
        "region": notice.region,
        "show_id": notice.show_id,
        "revision": notice.revision,
    }
