"""Statements about holds and bookings: one function, one statement, one question."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Select,
    Text,
    Uuid,
    any_,
    func,
    literal,
    select,
)

from cinesync.booking.allocation.hold_allocator import Pick
from cinesync.booking.model import Booking, PricedSeat, State
from cinesync.booking.tables import booking_seats, bookings
from cinesync.chassis.database import Transaction, text

HELD, BOOKED = "held", "booked"
UNIT_SEPARATOR = "\x1f"
BOOKING_COLUMNS = (
    "region, booking_id, customer_id, show_id, seats, total_cents, currency, state, created_at,"
    " expires_at, extensions, payment_id, payment_failure, late, confirmed_at, cancelled_at,"
    " cancel_reason, refund_cents, refunded_cents, cancelled_seats, cancel_note"
)
_BOOKING_FIELDS = Booking.__struct_fields__
BOOKING_TABLE_COLUMNS = [bookings.c[name] for name in BOOKING_COLUMNS.split(", ")]


class Claim(NamedTuple):
    """One seat of one show for one booking; orders as the primary key does."""

    region: str
    show_id: UUID
    seat: str
    booking_id: UUID


@dataclass(frozen=True, slots=True)
class TakenSeat:
    """A seat that is nobody else's to have now. `held_until` counts while it is not booked."""

    show_id: UUID
    seat: str
    booking_id: UUID
    is_booked: bool
    held_until: datetime


class Sale(msgspec.Struct, frozen=True):
    """How a show's sale stands. Nothing else of a show changes without its revision."""

    show_id: UUID
    revision: int
    cancelled: bool
    read_at: datetime
    taken_names: str

    @property
    def taken(self) -> set[str]:
        """The names of seats that are nobody else's to have now."""
        return set(self.taken_names.split(UNIT_SEPARATOR)) if self.taken_names else set()


async def database_now(tx: Transaction) -> datetime:
    """The clock that decides."""
    moment: datetime = (await tx.execute(text("SELECT now()"))).scalar_one()
    return moment


async def claim_seats(
    tx: Transaction, claims: Iterable[Claim], state: str, hold_seconds: int
) -> set[Claim]:
    """The claims that got their seat: free, run out, or the booking's own.

    The primary key decides (I1): two claims of one seat meet in one row, at any isolation
    level. Rows go in key order, so that batches cannot deadlock. No seat may be claimed twice
    in one call.
    """
    statement = text(
        "INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)"
        " SELECT t.region, t.show_id, t.seat, t.booking_id, CAST(:state AS text),"
        " now() + CAST(:hold_seconds AS bigint) * interval '1 second'"
        " FROM unnest(CAST(:regions AS text[]), CAST(:show_ids AS uuid[]),"
        " CAST(:seats AS text[]), CAST(:booking_ids AS uuid[]))"
        " AS t(region, show_id, seat, booking_id)"
        " ORDER BY t.region, t.show_id, t.seat"
        " ON CONFLICT (region, show_id, seat) DO UPDATE SET booking_id = excluded.booking_id,"
        " state = excluded.state, held_until = excluded.held_until"
        " WHERE booking_seats.state = 'held' AND (booking_seats.held_until <= now()"
        " OR booking_seats.booking_id = excluded.booking_id)"
        " RETURNING region, show_id, seat, booking_id"
    )
    parameters = {"state": state, "hold_seconds": hold_seconds, **_arrays(claims)}
    return {Claim(*row) for row in await tx.execute(statement, parameters)}


async def free_seats(tx: Transaction, claims: Iterable[Claim]) -> set[Claim]:
    """Give seats back; only rows that are still the booking's own."""
    statement = text(
        "DELETE FROM booking_seats USING unnest(CAST(:regions AS text[]),"
        " CAST(:show_ids AS uuid[]), CAST(:seats AS text[]), CAST(:booking_ids AS uuid[]))"
        " AS t(region, show_id, seat, booking_id)"
        " WHERE booking_seats.region = t.region AND booking_seats.show_id = t.show_id"
        " AND booking_seats.seat = t.seat AND booking_seats.booking_id = t.booking_id"
        " RETURNING booking_seats.region, booking_seats.show_id, booking_seats.seat,"
        " booking_seats.booking_id"
    )
    return {Claim(*row) for row in await tx.execute(statement, _arrays(claims))}


async def prolong_seats(tx: Transaction, claims: Iterable[Claim], until: datetime) -> set[Claim]:
    """Keep held seats until then; those that were still held."""
    statement = text(
        "UPDATE booking_seats SET held_until = CAST(:until AS timestamptz)"
        " FROM unnest(CAST(:regions AS text[]), CAST(:show_ids AS uuid[]),"
        " CAST(:seats AS text[]), CAST(:booking_ids AS uuid[]))"
        " AS t(region, show_id, seat, booking_id)"
        " WHERE booking_seats.region = t.region AND booking_seats.show_id = t.show_id"
        " AND booking_seats.seat = t.seat AND booking_seats.booking_id = t.booking_id"
        " AND booking_seats.state = 'held'"
        " RETURNING booking_seats.region, booking_seats.show_id, booking_seats.seat,"
        " booking_seats.booking_id"
    )
    parameters = {"until": until, **_arrays(claims)}
    return {Claim(*row) for row in await tx.execute(statement, parameters)}


async def clear_shows(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> set[Claim]:
    """Free every seat of these shows; what was held and booked."""
    statement = (
        booking_seats.delete()
        .where(_among(booking_seats.c.region, booking_seats.c.show_id, keys))
        .returning(
            booking_seats.c.region,
            booking_seats.c.show_id,
            booking_seats.c.seat,
            booking_seats.c.booking_id,
        )
    )
    return {Claim(*row) for row in await tx.execute(statement)}


async def taken_seats(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> list[TakenSeat]:
    """Every seat of these shows that is booked, or held by the database's clock."""
    statement = select(
        booking_seats.c.show_id,
        booking_seats.c.seat,
        booking_seats.c.booking_id,
        (booking_seats.c.state == BOOKED).label("is_booked"),
        booking_seats.c.held_until,
    ).where(
        _among(booking_seats.c.region, booking_seats.c.show_id, keys),
        (booking_seats.c.state == BOOKED) | (booking_seats.c.held_until > func.now()),
    )
    return [TakenSeat(*row) for row in await tx.execute(statement)]


async def sales_of(tx: Transaction, show_ids: Iterable[UUID]) -> list[Sale]:
    """Shows by their ids alone, and what is taken of them: a hold asks for both.

    The names go as one text, which costs both sides less than an array of a hundred.
    """
    statement = text(
        "SELECT show_id, revision, cancelled, now() AS read_at, coalesce("
        "(SELECT string_agg(seat, chr(31)) FROM booking_seats"
        " WHERE booking_seats.region = shows.region AND booking_seats.show_id = shows.show_id"
        " AND (booking_seats.state = 'booked' OR booking_seats.held_until > now())), '')"
        " FROM shows WHERE show_id = ANY(CAST(:show_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"show_ids": list(set(show_ids))})
    return [Sale(*row) for row in rows]


async def insert_holds(
    tx: Transaction, picks: Sequence[Pick], hold_seconds: int
) -> Mapping[UUID, datetime]:
    """When each new hold expires."""
    statement = text(
        "INSERT INTO bookings (region, booking_id, customer_id, show_id, seats, total_cents,"
        " currency, state, created_at, expires_at, extensions, late, refund_cents,"
        " refunded_cents, email_key, address_key) SELECT t.region, t.booking_id,"
        " t.customer_id, t.show_id, CAST(t.seats AS jsonb), t.total_cents, t.currency, 'held',"
        " now(), now() + CAST(:hold_seconds AS bigint) * interval '1 second', 0, false, 0, 0,"
        " t.email_key, t.address_key FROM unnest(CAST(:regions AS text[]),"
        " CAST(:booking_ids AS uuid[]), CAST(:customer_ids AS uuid[]),"
        " CAST(:show_ids AS uuid[]), CAST(:seats AS text[]), CAST(:totals AS bigint[]),"
        " CAST(:currencies AS text[]), CAST(:email_keys AS uuid[]),"
        " CAST(:address_keys AS uuid[])) AS t(region, booking_id, customer_id, show_id, seats,"
        " total_cents, currency, email_key, address_key)"
        " RETURNING booking_id, expires_at"
    )
    parameters = {
        "hold_seconds": hold_seconds,
        "regions": [pick.show.region for pick in picks],
        "booking_ids": [pick.hold.hold_id for pick in picks],
        "customer_ids": [pick.hold.customer_id for pick in picks],
        "show_ids": [pick.show.show_id for pick in picks],
        "seats": [msgspec.json.encode(pick.seats).decode() for pick in picks],
        "totals": [pick.total_cents for pick in picks],
        "currencies": [pick.show.currency for pick in picks],
        "email_keys": [pick.hold.email_key for pick in picks],
        "address_keys": [pick.hold.address_key for pick in picks],
    }
    rows = await tx.execute(statement, parameters)
    return dict(rows)


async def lock_bookings(tx: Transaction, booking_ids: Iterable[UUID]) -> Mapping[UUID, Booking]:
    """Bookings about to change, in key order; the lock only spares retries."""
    statement = text(
        f"SELECT {BOOKING_COLUMNS}, now() AS read_at FROM bookings"  # noqa: S608 a constant
        " WHERE booking_id = ANY(CAST(:booking_ids AS uuid[]))"
        " ORDER BY region ASC, booking_id ASC FOR UPDATE"
    )
    rows = await tx.execute(statement, {"booking_ids": list(set(booking_ids))})
    return {row.booking_id: booking_of(row) for row in rows}


async def find_bookings(tx: Transaction, booking_ids: Iterable[UUID]) -> Mapping[UUID, Booking]:
    """Holds and bookings by their ids alone."""
    statement = text(
        f"SELECT {BOOKING_COLUMNS}, now() AS read_at FROM bookings"  # noqa: S608 a constant
        " WHERE booking_id = ANY(CAST(:booking_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"booking_ids": list(set(booking_ids))})
    return {row.booking_id: booking_of(row) for row in rows}


async def find_booking(tx: Transaction, booking_id: UUID) -> Booking | None:
    """A hold or booking by its id alone."""
    return (await find_bookings(tx, [booking_id])).get(booking_id)


async def lock_run_out(tx: Transaction, grace_seconds: int, limit: int) -> list[Booking]:
    """Holds that ran out more than `grace_seconds` ago and are not marked so yet."""
    ran_out_before = func.now() - timedelta(seconds=grace_seconds)
    statement = (
        select_bookings()
        .where(bookings.c.state == State.HELD, bookings.c.expires_at <= ran_out_before)
        .order_by(bookings.c.region, bookings.c.expires_at, bookings.c.booking_id)
        .limit(limit)
        .with_for_update()
    )
    return [booking_of(row) for row in await tx.execute(statement)]


async def set_states(
    tx: Transaction, keys: Sequence[tuple[str, UUID]], before: Sequence[State], after: State
) -> set[UUID]:
    """Move bookings on; those that were in one of the states before."""
    statement = (
        bookings.update()
        .values(state=after)
        .where(_among(bookings.c.region, bookings.c.booking_id, keys))
        .where(bookings.c.state.in_(before))
        .returning(bookings.c.booking_id)
    )
    return {row.booking_id for row in await tx.execute(statement)}


async def set_confirmed(
    tx: Transaction, payments: Sequence[tuple[Booking, UUID]], before: Sequence[State]
) -> set[UUID]:
    """Note the payment that confirmed each booking; those that were in a state before."""
    statement = text(
        "UPDATE bookings SET state = 'confirmed', payment_id = t.payment_id, late = t.late,"
        " confirmed_at = now(), email_key = NULL, address_key = NULL"
        " FROM unnest(CAST(:regions AS text[]), CAST(:booking_ids AS uuid[]),"
        " CAST(:payment_ids AS uuid[]), CAST(:late AS boolean[]))"
        " AS t(region, booking_id, payment_id, late) WHERE bookings.region = t.region"
        " AND bookings.booking_id = t.booking_id AND bookings.state = ANY(CAST(:before AS text[]))"
        " RETURNING bookings.booking_id"
    )
    parameters = {
        "regions": [booking.region for booking, _ in payments],
        "booking_ids": [booking.booking_id for booking, _ in payments],
        "payment_ids": [payment_id for _, payment_id in payments],
        "late": [booking.status is not State.HELD for booking, _ in payments],
        "before": [str(state) for state in before],
    }
    return {row.booking_id for row in await tx.execute(statement, parameters)}


async def set_cancelled(
    tx: Transaction,
    keys: Sequence[tuple[str, UUID]],
    before: Sequence[State],
    reason: str,
    note: str | None = None,
) -> list[Booking]:
    """Cancel paid bookings with a full refund; those that were in a state before."""
    statement = (
        bookings.update()
        .values(
            state=State.CANCELLED,
            cancelled_at=func.now(),
            cancel_reason=reason,
            cancel_note=note,
            refund_cents=bookings.c.total_cents,
        )
        .where(_among(bookings.c.region, bookings.c.booking_id, keys))
        .where(bookings.c.state.in_(before))
        .returning(*BOOKING_TABLE_COLUMNS, func.now().label("read_at"))
    )
    return [booking_of(row) for row in await tx.execute(statement)]


async def set_expiry(tx: Transaction, booking: Booking, expires_at: datetime) -> bool:
    """Prolong a hold, counting it; whether it was still held."""
    statement = (
        bookings.update()
        .values(expires_at=expires_at, extensions=bookings.c.extensions + 1)
        .where(
            bookings.c.region == booking.region,
            bookings.c.booking_id == booking.booking_id,
            bookings.c.state == State.HELD,
            bookings.c.expires_at > func.now(),
        )
    )
    return (await tx.execute(statement)).rowcount == 1


def claims_of_pick(pick: Pick) -> list[Claim]:
    """The rows a new hold needs."""
    return [
        Claim(pick.show.region, pick.show.show_id, priced.seat, pick.hold.hold_id)
        for priced in pick.seats
    ]


def claims_of(booking: Booking) -> list[Claim]:
    """The rows a booking has while its seats are its own."""
    return [
        Claim(booking.region, booking.show_id, seat, booking.booking_id)
        for seat in booking.seat_names
    ]


def _among(
    region: Column[str], key: Column[UUID], keys: Sequence[tuple[str, UUID]]
) -> ColumnElement[bool]:
    """Rows with these keys. The ids alone name them; the regions find their partitions."""
    regions, ids = {region for region, _ in keys}, {key for _, key in keys}
    return (region == any_(literal(sorted(regions), ARRAY(Text)))) & (
        key == any_(literal(sorted(ids), ARRAY(Uuid)))
    )


def _arrays(claims: Iterable[Claim]) -> dict[str, list[Any]]:
    """Parallel arrays for unnest, in key order."""
    ordered = sorted(claims)
    return {
        "regions": [claim.region for claim in ordered],
        "show_ids": [claim.show_id for claim in ordered],
        "seats": [claim.seat for claim in ordered],
        "booking_ids": [claim.booking_id for claim in ordered],
    }


def select_bookings() -> Select[Any]:
    """Every column, and the database's clock."""
    return select(*BOOKING_TABLE_COLUMNS, func.now().label("read_at"))


def booking_of(row: Any) -> Booking:
    """A row with every column, in their order, and `read_at`."""
    values = dict(zip(_BOOKING_FIELDS, row, strict=True))
    values["state"] = State(values["state"])
    values["seats"] = [PricedSeat(**priced) for priced in values["seats"]]
    values["cancelled_seats"] = [PricedSeat(**priced) for priced in values["cancelled_seats"]]
    return Booking(**values)
