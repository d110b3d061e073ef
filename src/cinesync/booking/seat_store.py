"""Statements about seats of shows that are held or booked: the rows of `booking_seats`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Interval,
    Select,
    bindparam,
    delete,
    func,
    select,
    true,
    update,
)

from cinesync.booking.allocation.hold_allocator import Allocation
from cinesync.booking.model import Booking
from cinesync.booking.tables import booking_seats, bookings, shows
from cinesync.chassis.database import Transaction, any_of, batch, compiled, insert_from, matches

HELD: Final = "held"
BOOKED: Final = "booked"
UNIT_SEPARATOR: Final = "\x1f"


class SeatRow(NamedTuple):
    """A seat of a show that a hold or booking has. Sorts in the order of the primary key."""

    region: str
    show_id: UUID
    seat: str
    booking_id: UUID


class TakenSeat(NamedTuple):
    """A seat that nobody else can have now. `held_until` counts while it is not booked."""

    show_id: UUID
    seat: str
    booking_id: UUID
    is_booked: bool
    held_until: datetime


class Sale(msgspec.Struct, frozen=True):
    """The state of a show's sale. Everything else of a show changes with its revision only."""

    show_id: UUID
    revision: int
    cancelled: bool
    read_at: datetime
    taken_names: str

    @property
    def taken(self) -> set[str]:
        """The names of the seats that are taken now."""
        return _names(self.taken_names)


_seat_columns = (
    booking_seats.c.region,
    booking_seats.c.show_id,
    booking_seats.c.seat,
    booking_seats.c.booking_id,
)
ROWS = batch("seat_rows", *_seat_columns)
_is_own = matches(booking_seats, ROWS) & (booking_seats.c.booking_id == ROWS.c.booking_id)
_is_taken = (booking_seats.c.state == BOOKED) | (booking_seats.c.held_until > func.now())
_of_shows = any_of(booking_seats.c.region, "regions") & any_of(booking_seats.c.show_id, "show_ids")

_claim = insert_from(
    booking_seats,
    ROWS,
    state=bindparam("state"),
    held_until=func.now() + bindparam("hold_time", type_=Interval),
)
CLAIM = compiled(
    _claim.on_conflict_do_update(
        index_elements=list(booking_seats.primary_key),
        set_={
            "booking_id": _claim.excluded.booking_id,
            "state": _claim.excluded.state,
            "held_until": _claim.excluded.held_until,
        },
        where=(booking_seats.c.state == HELD)
        & (
            (booking_seats.c.held_until <= func.now())
            | (booking_seats.c.booking_id == _claim.excluded.booking_id)
        ),
    ).returning(*_seat_columns)
)


async def claim_seats(
    tx: Transaction, rows: Iterable[SeatRow], state: str, hold_seconds: int
) -> set[SeatRow]:
    """The rows that got their seat: it was free, its hold had expired, or it was the booking's own.

    The primary key decides (I1): two claims of one seat meet in one row, at any isolation level.
    Rows go in key order, so that batches cannot deadlock. A call may name a seat once only.
    """
    parameters = {
        "seat_rows": sorted(rows),
        "state": state,
        "hold_time": timedelta(seconds=hold_seconds),
    }
    return {SeatRow(*row) for row in await tx.execute(CLAIM, parameters)}


FREE = compiled(delete(booking_seats).where(_is_own).returning(*_seat_columns))


async def free_seats(tx: Transaction, rows: Iterable[SeatRow]) -> set[SeatRow]:
    """Delete the rows that still belong to their booking; those that were deleted."""
    return {SeatRow(*row) for row in await tx.execute(FREE, {"seat_rows": sorted(rows)})}


PROLONG = compiled(
    update(booking_seats)
    .where(_is_own, booking_seats.c.state == HELD)
    .values(held_until=bindparam("until"))
    .returning(*_seat_columns)
)


async def prolong_seats(tx: Transaction, rows: Iterable[SeatRow], until: datetime) -> set[SeatRow]:
    """Hold seats until then; those that were still held."""
    parameters = {"seat_rows": sorted(rows), "until": until}
    return {SeatRow(*row) for row in await tx.execute(PROLONG, parameters)}


EXPIRIES = batch("expiries", *_seat_columns, booking_seats.c.held_until)
SET_HELD_UNTIL = compiled(
    update(booking_seats)
    .where(
        matches(booking_seats, EXPIRIES),
        booking_seats.c.booking_id == EXPIRIES.c.booking_id,
        booking_seats.c.state == HELD,
    )
    .values(held_until=EXPIRIES.c.held_until)
)


async def set_held_until(tx: Transaction, rows: Sequence[tuple[SeatRow, datetime]]) -> None:
    """The expiry of each of these held seats."""
    expiries = [(*row, until) for row, until in sorted(rows)]
    await tx.execute(SET_HELD_UNTIL, {"expiries": expiries})


CLEAR_SHOWS = compiled(delete(booking_seats).where(_of_shows).returning(*_seat_columns))


async def clear_shows(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> set[SeatRow]:
    """Free every seat of these shows, held or booked; keys are region and show id."""
    return {SeatRow(*row) for row in await tx.execute(CLEAR_SHOWS, _show_keys(keys))}


FREE_HELD = compiled(
    delete(booking_seats)
    .where(
        booking_seats.c.region == bindparam("region"),
        booking_seats.c.show_id == bindparam("show_id"),
        booking_seats.c.state == HELD,
    )
    .returning(booking_seats.c.booking_id)
)


async def free_held_seats(tx: Transaction, region: str, show_id: UUID) -> set[UUID]:
    """Free the held seats of a show; the holds that had them."""
    return set((await tx.execute(FREE_HELD, {"region": region, "show_id": show_id})).scalars())


FIND_TAKEN = compiled(
    select(
        booking_seats.c.show_id,
        booking_seats.c.seat,
        booking_seats.c.booking_id,
        (booking_seats.c.state == BOOKED).label("is_booked"),
        booking_seats.c.held_until,
    ).where(_of_shows, _is_taken)
)


async def taken_seats(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> list[TakenSeat]:
    """Every seat of these shows that is booked, or held by the database's clock."""
    return [TakenSeat(*row) for row in await tx.execute(FIND_TAKEN, _show_keys(keys))]


# Names go as one text: an array of a hundred costs both sides more.
_names_taken = func.string_agg(booking_seats.c.seat, func.chr(ord(UNIT_SEPARATOR)))
_of_show = (booking_seats.c.region == shows.c.region) & (booking_seats.c.show_id == shows.c.show_id)


def _select_sales(*columns: ColumnElement[str]) -> Select[Any]:
    return select(
        shows.c.show_id,
        shows.c.revision,
        shows.c.cancelled,
        func.now().label("read_at"),
        *columns,
    ).where(any_of(shows.c.show_id, "show_ids"))


FIND_SALES = compiled(
    _select_sales(
        func.coalesce(select(_names_taken).where(_of_show, _is_taken).scalar_subquery(), "").label(
            "taken_names"
        )
    )
)


async def sales_of(tx: Transaction, show_ids: Iterable[UUID]) -> list[Sale]:
    """The state of these shows' sales: what a hold needs."""
    rows = await tx.execute(FIND_SALES, {"show_ids": list(set(show_ids))})
    return [Sale(*row) for row in rows]


_taken = (
    select(
        _names_taken.label("taken_names"),
        _names_taken.filter(booking_seats.c.state == HELD).label("held_names"),
    )
    .where(_of_show, _is_taken)
    .correlate(shows)
    .lateral("taken")
)
FIND_SALES_WITH_HELD_SEATS = compiled(
    _select_sales(
        func.coalesce(_taken.c.taken_names, "").label("taken_names"),
        func.coalesce(_taken.c.held_names, "").label("held_names"),
    ).select_from(shows.outerjoin(_taken, true()))
)


async def sales_with_held_seats(
    tx: Transaction, show_ids: Iterable[UUID]
) -> list[tuple[Sale, set[str]]]:
    """The state of these shows' sales, and which of the taken seats are only held."""
    rows = await tx.execute(FIND_SALES_WITH_HELD_SEATS, {"show_ids": list(set(show_ids))})
    return [(Sale(*row[:5]), _names(row.held_names)) for row in rows]


SEATS = batch("wanted", booking_seats.c.region, booking_seats.c.show_id, booking_seats.c.seat)
FIND_OWNERS = compiled(
    select(booking_seats.c.show_id, booking_seats.c.seat, bookings.c.customer_id)
    .join_from(SEATS, booking_seats, matches(booking_seats, SEATS))
    .join(
        bookings,
        (bookings.c.region == booking_seats.c.region)
        & (bookings.c.booking_id == booking_seats.c.booking_id),
    )
    .where(_is_taken)
)


async def owners(
    tx: Transaction, seats: Collection[tuple[str, UUID, str]]
) -> Mapping[tuple[UUID, str], UUID]:
    """The customers who have these seats (region, show, seat), by show and seat."""
    rows = await tx.execute(FIND_OWNERS, {"wanted": sorted(seats)})
    return {(row.show_id, row.seat): row.customer_id for row in rows}


def allocated_rows(allocation: Allocation) -> list[SeatRow]:
    """The rows that a new hold claims."""
    show, hold_id = allocation.show, allocation.hold.hold_id
    return [SeatRow(show.region, show.show_id, priced.seat, hold_id) for priced in allocation.seats]


def rows_of(booking: Booking) -> list[SeatRow]:
    """The rows of a hold or booking."""
    return [
        SeatRow(booking.region, booking.show_id, seat, booking.booking_id)
        for seat in booking.seat_names
    ]


def _show_keys(keys: Sequence[tuple[str, UUID]]) -> dict[str, object]:
    """The ids alone identify the shows; the regions find their partitions."""
    return {
        "regions": sorted({region for region, _ in keys}),
        "show_ids": sorted({show_id for _, show_id in keys}),
    }


def _names(joined: str) -> set[str]:
    return set(joined.split(UNIT_SEPARATOR)) if joined else set()
