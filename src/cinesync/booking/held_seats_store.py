"""Statements about who holds unpaid seats: what the limits of held seats count."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from cinesync.booking.held_limits import HeldSeats
from cinesync.booking.model import Booking, HoldSeats, State, Terms
from cinesync.booking.store import Claim
from cinesync.chassis.database import Transaction, text

IN_TIME: Final = "expires_at > now() - CAST(:pause AS bigint) * interval '1 second'"
OF_EMAILS: Final = (
    f"WHERE email_key IS NOT NULL AND email_key = ANY(CAST(:email_keys AS uuid[])) AND {IN_TIME}"
)
OF_ADDRESSES: Final = (
    "WHERE address_key IS NOT NULL AND address_key = ANY(CAST(:address_keys AS uuid[]))"
    f" AND {IN_TIME}"
)


async def held_seats(
    tx: Transaction,
    email_keys: Collection[UUID],
    address_keys: Collection[UUID],
    pause_seconds: int,
) -> list[HeldSeats]:
    """Seats held now, and seats that ended unpaid less than the pause ago.

    Only their keys pick the rows: with states in WHERE, PostgreSQL looks through all holds there
    are as soon as it knows of few. What was paid for has no keys.
    """
    statement = text(
        "SELECT email_key, customer_id, address_key,"  # noqa: S608 constants
        " CAST(NULL AS uuid) AS show_id,"
        " CAST(coalesce(sum(jsonb_array_length(seats)) FILTER"
        " (WHERE state = 'held' AND expires_at > now()), 0) AS bigint) AS live,"
        " CAST(sum(jsonb_array_length(seats)) AS bigint) AS counted, min(expires_at) AS ends_at"
        f" FROM bookings {OF_EMAILS} GROUP BY email_key, customer_id, address_key"
        " UNION ALL SELECT CAST(NULL AS uuid), CAST(NULL AS uuid), address_key, show_id,"
        " CAST(coalesce(sum(jsonb_array_length(seats)) FILTER"
        " (WHERE state = 'held' AND expires_at > now()), 0) AS bigint),"
        " CAST(sum(jsonb_array_length(seats)) AS bigint), min(expires_at)"
        f" FROM bookings {OF_ADDRESSES} GROUP BY address_key, show_id"
    )
    parameters = {
        "email_keys": list(email_keys),
        "address_keys": list(address_keys),
        "pause": pause_seconds,
    }
    return [HeldSeats(*row) for row in await tx.execute(statement, parameters)]


async def held_by(tx: Transaction, holds: Sequence[HoldSeats], terms: Terms) -> list[HeldSeats]:
    """What those who want seats, and their addresses, keep already."""
    return await held_seats(tx, *_keys(holds), terms.release_pause_seconds)


async def kept_by(
    tx: Transaction, holds: Sequence[HoldSeats], terms: Terms
) -> dict[UUID | None, int]:
    """The same in sum: seats by address, and under None those of all their e-mails."""
    return await kept_seats(tx, *_keys(holds), terms.release_pause_seconds)


async def kept_seats(
    tx: Transaction,
    email_keys: Collection[UUID],
    address_keys: Collection[UUID],
    pause_seconds: int,
) -> dict[UUID | None, int]:
    """What `held_seats` counts, in sum: seats by address, and under None those of all e-mails."""
    statement = text(
        "SELECT CAST(NULL AS uuid) AS address_key,"  # noqa: S608 constants
        " CAST(coalesce(sum(jsonb_array_length(seats)), 0) AS bigint) AS counted"
        f" FROM bookings {OF_EMAILS}"
        " UNION ALL SELECT address_key, CAST(sum(jsonb_array_length(seats)) AS bigint)"
        f" FROM bookings {OF_ADDRESSES} GROUP BY address_key"
    )
    parameters = {
        "email_keys": list(email_keys),
        "address_keys": list(address_keys),
        "pause": pause_seconds,
    }
    return dict(await tx.execute(statement, parameters))


def _keys(holds: Sequence[HoldSeats]) -> tuple[set[UUID], set[UUID]]:
    """Of their e-mails and their addresses."""
    return (
        {hold.email_key for hold in holds},
        {hold.address_key for hold in holds if hold.address_key is not None},
    )


async def owners(
    tx: Transaction, places: Collection[tuple[str, UUID, str]]
) -> Mapping[tuple[UUID, str], UUID]:
    """Whose these seats are, by show and seat; each is named with its region and show."""
    statement = text(
        "SELECT s.show_id, s.seat, b.customer_id FROM unnest(CAST(:regions AS text[]),"
        " CAST(:show_ids AS uuid[]), CAST(:seats AS text[])) AS t(region, show_id, seat)"
        " JOIN booking_seats AS s ON s.region = t.region AND s.show_id = t.show_id"
        " AND s.seat = t.seat"
        " JOIN bookings AS b ON b.region = s.region AND b.booking_id = s.booking_id"
        " WHERE s.state = 'booked' OR s.held_until > now()"
    )
    ordered = sorted(places)
    parameters = {
        "regions": [region for region, _, _ in ordered],
        "show_ids": [show_id for _, show_id, _ in ordered],
        "seats": [seat for _, _, seat in ordered],
    }
    rows = await tx.execute(statement, parameters)
    return {(row.show_id, row.seat): row.customer_id for row in rows}


async def set_held_until(tx: Transaction, claims: Sequence[tuple[Claim, datetime]]) -> None:
    """When each of these seats, which are held, comes free."""
    statement = text(
        "UPDATE booking_seats SET held_until = t.held_until"
        " FROM unnest(CAST(:regions AS text[]), CAST(:show_ids AS uuid[]),"
        " CAST(:seats AS text[]), CAST(:booking_ids AS uuid[]), CAST(:untils AS timestamptz[]))"
        " AS t(region, show_id, seat, booking_id, held_until)"
        " WHERE booking_seats.region = t.region AND booking_seats.show_id = t.show_id"
        " AND booking_seats.seat = t.seat AND booking_seats.booking_id = t.booking_id"
        " AND booking_seats.state = 'held'"
    )
    ordered = sorted(claims)
    parameters = {
        "regions": [claim.region for claim, _ in ordered],
        "show_ids": [claim.show_id for claim, _ in ordered],
        "seats": [claim.seat for claim, _ in ordered],
        "booking_ids": [claim.booking_id for claim, _ in ordered],
        "untils": [until for _, until in ordered],
    }
    await tx.execute(statement, parameters)


async def set_seats(tx: Transaction, bookings: Sequence[Booking]) -> int:
    """The seats and totals of live holds; how many were."""
    statement = text(
        "UPDATE bookings SET seats = CAST(t.seats AS jsonb), total_cents = t.total_cents"
        " FROM unnest(CAST(:regions AS text[]), CAST(:booking_ids AS uuid[]),"
        " CAST(:seats AS text[]), CAST(:totals AS bigint[]))"
        " AS t(region, booking_id, seats, total_cents) WHERE bookings.region = t.region"
        " AND bookings.booking_id = t.booking_id AND bookings.state = 'held'"
        " AND bookings.expires_at > now()"
    )
    parameters = {
        "regions": [booking.region for booking in bookings],
        "booking_ids": [booking.booking_id for booking in bookings],
        "seats": [msgspec.json.encode(booking.seats).decode() for booking in bookings],
        "totals": [booking.total_cents for booking in bookings],
    }
    return (await tx.execute(statement, parameters)).rowcount


async def set_released(tx: Transaction, booking: Booking, state: State) -> bool:
    """A hold was given back: it ended now, if it had not run out before."""
    statement = text(
        "UPDATE bookings SET state = CAST(:state AS text), expires_at = least(expires_at, now())"
        " WHERE region = CAST(:region AS text) AND booking_id = CAST(:booking_id AS uuid)"
        " AND state = 'held'"
    )
    parameters = {"state": str(state), "region": booking.region, "booking_id": booking.booking_id}
    return (await tx.execute(statement, parameters)).rowcount == 1


async def find_ended(tx: Transaction, pause_seconds: int, limit: int) -> list[tuple[str, UUID]]:
    """Holds that ended longer than the pause ago and still have keys."""
    statement = text(
        "SELECT region, booking_id FROM bookings WHERE email_key IS NOT NULL"
        " AND state <> 'held' AND expires_at <= now()"
        " - CAST(:pause AS bigint) * interval '1 second'"
        " ORDER BY region ASC, booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"pause": pause_seconds, "limit": limit})
    return [(row.region, row.booking_id) for row in rows]


async def forget(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> None:
    """Drop the keys of these, unless they are held."""
    statement = text(
        "UPDATE bookings SET email_key = NULL, address_key = NULL"
        " FROM unnest(CAST(:regions AS text[]), CAST(:booking_ids AS uuid[]))"
        " AS t(region, booking_id) WHERE bookings.region = t.region"
        " AND bookings.booking_id = t.booking_id AND bookings.state <> 'held'"
        " AND bookings.email_key IS NOT NULL"
    )
    parameters = {
        "regions": [region for region, _ in keys],
        "booking_ids": [booking_id for _, booking_id in keys],
    }
    await tx.execute(statement, parameters)
