"""Statements about unpaid seats: what the limits of held seats count."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Interval,
    Uuid,
    bindparam,
    cast,
    func,
    null,
    select,
    union_all,
    update,
)

from cinesync.booking.held_limits.rules import HeldSeats
from cinesync.booking.model import BookingState, HoldSeats, Terms
from cinesync.booking.tables import bookings
from cinesync.chassis.database import Transaction, any_of, batch, compiled, matches

# Only the keys and the time select rows: with a state in WHERE, PostgreSQL may scan all holds while
# it knows of few. Confirmed bookings have no keys.
_in_time = bookings.c.expires_at > func.now() - bindparam("pause", type_=Interval)
_of_emails = (
    bookings.c.email_key.is_not(None) & any_of(bookings.c.email_key, "email_keys") & _in_time
)
_of_addresses = (
    bookings.c.address_key.is_not(None) & any_of(bookings.c.address_key, "address_keys") & _in_time
)
_seat_count = func.sum(func.jsonb_array_length(bookings.c.seats))
_live = _seat_count.filter(
    bookings.c.state == BookingState.HELD, bookings.c.expires_at > func.now()
)
_no_key = cast(null(), Uuid)
_counts = (
    cast(func.coalesce(_live, 0), BigInteger).label("live"),
    cast(_seat_count, BigInteger).label("counted"),
    func.min(bookings.c.expires_at).label("ends_at"),
)
FIND = compiled(
    union_all(
        select(
            bookings.c.email_key,
            bookings.c.customer_id,
            bookings.c.address_key,
            _no_key.label("show_id"),
            *_counts,
        )
        .where(_of_emails)
        .group_by(bookings.c.email_key, bookings.c.customer_id, bookings.c.address_key),
        select(
            _no_key.label("email_key"),
            _no_key.label("customer_id"),
            bookings.c.address_key,
            bookings.c.show_id,
            *_counts,
        )
        .where(_of_addresses)
        .group_by(bookings.c.address_key, bookings.c.show_id),
    )
)


async def held_seats(
    tx: Transaction,
    email_keys: Collection[UUID],
    address_keys: Collection[UUID],
    pause_seconds: int,
) -> list[HeldSeats]:
    """Seats that are held, or that ended unpaid within the pause."""
    parameters = _parameters(email_keys, address_keys, pause_seconds)
    return [HeldSeats(*row) for row in await tx.execute(FIND, parameters)]


async def find_held_seats(
    tx: Transaction, holds: Sequence[HoldSeats], terms: Terms
) -> list[HeldSeats]:
    """The unpaid seats of the e-mails and addresses of these commands."""
    return await held_seats(tx, *_keys(holds), terms.release_pause_seconds)


SUM = compiled(
    union_all(
        select(
            _no_key.label("address_key"),
            cast(func.coalesce(_seat_count, 0), BigInteger).label("counted"),
        ).where(_of_emails),
        select(bookings.c.address_key, cast(_seat_count, BigInteger).label("counted"))
        .where(_of_addresses)
        .group_by(bookings.c.address_key),
    )
)


async def summed_seats(
    tx: Transaction,
    email_keys: Collection[UUID],
    address_keys: Collection[UUID],
    pause_seconds: int,
) -> dict[UUID | None, int]:
    """What `held_seats` counts, by address, and under None for all e-mails together."""
    return dict(await tx.execute(SUM, _parameters(email_keys, address_keys, pause_seconds)))


async def sum_held_seats(
    tx: Transaction, holds: Sequence[HoldSeats], terms: Terms
) -> dict[UUID | None, int]:
    """`summed_seats` of the e-mails and addresses of these commands."""
    return await summed_seats(tx, *_keys(holds), terms.release_pause_seconds)


FIND_ENDED = compiled(
    select(bookings.c.region, bookings.c.booking_id)
    .where(
        bookings.c.email_key.is_not(None),
        bookings.c.state != BookingState.HELD,
        bookings.c.expires_at <= func.now() - bindparam("pause", type_=Interval),
    )
    .order_by(bookings.c.region, bookings.c.booking_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def find_ended(tx: Transaction, pause_seconds: int, limit: int) -> list[tuple[str, UUID]]:
    """Holds that ended longer than the pause ago and still have keys."""
    parameters = {"pause": timedelta(seconds=pause_seconds), "limit": limit}
    rows = await tx.execute(FIND_ENDED, parameters)
    return [(row.region, row.booking_id) for row in rows]


ENDED = batch("ended", bookings.c.region, bookings.c.booking_id)
FORGET_KEYS = compiled(
    update(bookings)
    .where(
        matches(bookings, ENDED),
        bookings.c.state != BookingState.HELD,
        bookings.c.email_key.is_not(None),
    )
    .values(email_key=null(), address_key=null())
)


async def forget_keys(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> None:
    """Delete the e-mail and address keys of bookings (region, id) that are not held."""
    await tx.execute(FORGET_KEYS, {"ended": keys})


def _keys(holds: Sequence[HoldSeats]) -> tuple[set[UUID], set[UUID]]:
    """Their e-mail keys and address keys."""
    return (
        {hold.email_key for hold in holds},
        {hold.address_key for hold in holds if hold.address_key is not None},
    )


def _parameters(
    email_keys: Collection[UUID], address_keys: Collection[UUID], pause_seconds: int
) -> dict[str, object]:
    return {
        "email_keys": list(email_keys),
        "address_keys": list(address_keys),
        "pause": timedelta(seconds=pause_seconds),
    }
