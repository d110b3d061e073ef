"""Statements about holds and bookings: the rows of `bookings`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Interval, Select, bindparam, func, null, select, update

from cinesync.booking.allocation.hold_allocator import Allocation
from cinesync.booking.model import Booking, BookingState, PricedSeat
from cinesync.booking.tables import bookings
from cinesync.chassis.database import (
    Transaction,
    any_of,
    batch,
    compiled,
    insert_from,
    matches,
    text,
)

_FIELDS: Final = Booking.__struct_fields__
READ_AT: Final = func.now().label("read_at")
BOOKING_COLUMNS: Final = [bookings.c[name] for name in _FIELDS if name != "read_at"]
_is_held = bookings.c.state == BookingState.HELD
_by_key = any_of(bookings.c.region, "regions") & any_of(bookings.c.booking_id, "booking_ids")
_by_one_key = (bookings.c.region == bindparam("of_region")) & (
    bookings.c.booking_id == bindparam("of_booking")
)


def select_bookings() -> Select[Any]:
    """Every column of Booking, and the database's clock."""
    return select(*BOOKING_COLUMNS, READ_AT)


def booking_of(row: Any) -> Booking:
    """A row of `select_bookings`."""
    values = dict(zip(_FIELDS, row, strict=True))
    values["state"] = BookingState(values["state"])
    values["seats"] = [PricedSeat(**priced) for priced in values["seats"]]
    values["cancelled_seats"] = [PricedSeat(**priced) for priced in values["cancelled_seats"]]
    return Booking(**values)


HOLDS = batch(
    "holds",
    bookings.c.region,
    bookings.c.booking_id,
    bookings.c.customer_id,
    bookings.c.show_id,
    bookings.c.seats,
    bookings.c.total_cents,
    bookings.c.currency,
    bookings.c.email_key,
    bookings.c.address_key,
)
INSERT_HOLDS = compiled(
    insert_from(
        bookings,
        HOLDS,
        state=BookingState.HELD,
        created_at=func.now(),
        expires_at=func.now() + bindparam("hold_time", type_=Interval),
        extensions=0,
        late=False,
        refund_cents=0,
        refunded_cents=0,
    ).returning(bookings.c.booking_id, bookings.c.expires_at)
)


async def insert_holds(
    tx: Transaction, allocations: Sequence[Allocation], hold_seconds: int
) -> Mapping[UUID, datetime]:
    """When each new hold expires."""
    rows = [
        (
            one.show.region,
            one.hold.hold_id,
            one.hold.customer_id,
            one.show.show_id,
            msgspec.json.encode(one.seats).decode(),
            one.total_cents,
            one.show.currency,
            one.hold.email_key,
            one.hold.address_key,
        )
        for one in allocations
    ]
    parameters = {"holds": rows, "hold_time": timedelta(seconds=hold_seconds)}
    return dict(await tx.execute(INSERT_HOLDS, parameters))


FIND = compiled(select_bookings().where(any_of(bookings.c.booking_id, "booking_ids")))
LOCK = compiled(
    select_bookings()
    .where(any_of(bookings.c.booking_id, "booking_ids"))
    .order_by(bookings.c.region, bookings.c.booking_id)
    .with_for_update()
)


async def lock_bookings(tx: Transaction, booking_ids: Iterable[UUID]) -> Mapping[UUID, Booking]:
    """Bookings about to change, in key order. The lock only reduces retries."""
    rows = await tx.execute(LOCK, {"booking_ids": list(set(booking_ids))})
    return {row.booking_id: booking_of(row) for row in rows}


async def find_bookings(tx: Transaction, booking_ids: Iterable[UUID]) -> Mapping[UUID, Booking]:
    """Holds and bookings by id."""
    rows = await tx.execute(FIND, {"booking_ids": list(set(booking_ids))})
    return {row.booking_id: booking_of(row) for row in rows}


async def find_booking(tx: Transaction, booking_id: UUID) -> Booking | None:
    """A hold or booking by id."""
    return (await find_bookings(tx, [booking_id])).get(booking_id)


LOCK_EXPIRED = compiled(
    select_bookings()
    .where(_is_held, bookings.c.expires_at <= func.now() - bindparam("grace", type_=Interval))
    .order_by(bookings.c.region, bookings.c.expires_at, bookings.c.booking_id)
    .limit(bindparam("limit", type_=BigInteger))
    .with_for_update()
)


async def lock_expired(tx: Transaction, grace_seconds: int, limit: int) -> list[Booking]:
    """Holds that expired more than `grace_seconds` ago and are not marked so yet."""
    parameters = {"grace": timedelta(seconds=grace_seconds), "limit": limit}
    return [booking_of(row) for row in await tx.execute(LOCK_EXPIRED, parameters)]


SET_STATES = compiled(
    update(bookings)
    .where(_by_key, any_of(bookings.c.state, "before"))
    .values(state=bindparam("after"))
    .returning(bookings.c.booking_id)
)


async def set_states(
    tx: Transaction,
    keys: Sequence[tuple[str, UUID]],
    before: Sequence[BookingState],
    after: BookingState,
) -> set[UUID]:
    """Change the state of bookings (region, id); those that were in one of the states before."""
    parameters = {**_keys(keys), "before": before, "after": after}
    return set((await tx.execute(SET_STATES, parameters)).scalars())


PAID = batch(
    "paid", bookings.c.region, bookings.c.booking_id, bookings.c.payment_id, bookings.c.late
)
SET_CONFIRMED = compiled(
    update(bookings)
    .where(matches(bookings, PAID), any_of(bookings.c.state, "before"))
    .values(
        state=BookingState.CONFIRMED,
        payment_id=PAID.c.payment_id,
        late=PAID.c.late,
        confirmed_at=func.now(),
        email_key=null(),
        address_key=null(),
    )
    .returning(bookings.c.booking_id)
)


async def set_confirmed(
    tx: Transaction, payments: Sequence[tuple[Booking, UUID]], before: Sequence[BookingState]
) -> set[UUID]:
    """Confirm each booking with its payment; those that were in a state before."""
    rows = [
        (booking.region, booking.booking_id, payment_id, booking.status is not BookingState.HELD)
        for booking, payment_id in payments
    ]
    return set((await tx.execute(SET_CONFIRMED, {"paid": rows, "before": before})).scalars())


SET_CANCELLED = compiled(
    update(bookings)
    .where(_by_key, any_of(bookings.c.state, "before"))
    .values(
        state=BookingState.CANCELLED,
        cancelled_at=func.now(),
        cancel_reason=bindparam("reason"),
        cancel_note=bindparam("note"),
        refund_cents=bookings.c.total_cents,
    )
    .returning(*BOOKING_COLUMNS, READ_AT)
)


async def set_cancelled(
    tx: Transaction,
    keys: Sequence[tuple[str, UUID]],
    before: Sequence[BookingState],
    reason: str,
    note: str | None = None,
) -> list[Booking]:
    """Cancel paid bookings (region, id) with a full refund; those that were in a state before."""
    parameters = {**_keys(keys), "before": before, "reason": reason, "note": note}
    return [booking_of(row) for row in await tx.execute(SET_CANCELLED, parameters)]


SET_EXPIRY = compiled(
    update(bookings)
    .where(_by_one_key, _is_held, bookings.c.expires_at > func.now())
    .values(expires_at=bindparam("until"), extensions=bookings.c.extensions + 1)
)


async def set_expiry(tx: Transaction, booking: Booking, until: datetime) -> bool:
    """Extend a hold; whether it was still held."""
    return (await tx.execute(SET_EXPIRY, {**_key(booking), "until": until})).rowcount == 1


CHANGES = batch(
    "changes",
    bookings.c.region,
    bookings.c.booking_id,
    bookings.c.seats,
    bookings.c.total_cents,
)
SET_SEATS = compiled(
    update(bookings)
    .where(matches(bookings, CHANGES), _is_held, bookings.c.expires_at > func.now())
    .values(seats=CHANGES.c.seats, total_cents=CHANGES.c.total_cents)
)


async def set_seats(tx: Transaction, changed: Sequence[Booking]) -> int:
    """Set the seats and totals of holds; how many were still held."""
    rows = [
        (one.region, one.booking_id, msgspec.json.encode(one.seats).decode(), one.total_cents)
        for one in changed
    ]
    return (await tx.execute(SET_SEATS, {"changes": rows})).rowcount


SET_RELEASED = compiled(
    update(bookings)
    .where(_by_one_key, _is_held)
    .values(state=bindparam("after"), expires_at=func.least(bookings.c.expires_at, func.now()))
)


async def set_released(tx: Transaction, booking: Booking, after: BookingState) -> bool:
    """End a hold now, unless it expired before; whether it was held."""
    return (await tx.execute(SET_RELEASED, {**_key(booking), "after": after})).rowcount == 1


COUNT_HOLDS = text(
    "SELECT count(*) FILTER (WHERE expires_at > now()) AS live,"
    " CAST(coalesce(sum(jsonb_array_length(seats)) FILTER (WHERE expires_at > now()), 0)"
    " AS bigint) AS seats,"
    " count(*) FILTER (WHERE expires_at <= now()) AS ran_out,"
    " CAST(coalesce(extract(EPOCH FROM min(expires_at) FILTER (WHERE expires_at > now())"
    " - now()), 0) AS double precision) AS next_seconds,"
    " CAST(coalesce(extract(EPOCH FROM now() - min(expires_at)"
    " FILTER (WHERE expires_at <= now())), 0) AS double precision) AS overdue_seconds"
    " FROM bookings WHERE state = 'held'"
)


async def count_holds(tx: Transaction) -> tuple[int, int, int, float, float]:
    """Live holds, their seats, and expired holds that are not marked so yet; seconds until the next
    live one expires, and since the first of the others did."""
    row = (await tx.execute(COUNT_HOLDS)).one()
    return row.live, row.seats, row.ran_out, row.next_seconds, row.overdue_seconds


def _keys(keys: Sequence[tuple[str, UUID]]) -> dict[str, object]:
    """The ids alone identify the bookings; the regions find their partitions."""
    return {
        "regions": sorted({region for region, _ in keys}),
        "booking_ids": sorted({booking_id for _, booking_id in keys}),
    }


def _key(booking: Booking) -> dict[str, object]:
    return {"of_region": booking.region, "of_booking": booking.booking_id}
