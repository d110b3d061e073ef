"""Statements over what booking knows of one customer: to show it, and to forget whose it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cinesync.chassis.database import Transaction, text


@dataclass(frozen=True, slots=True)
class Owned:
    """A row that names a customer."""

    region: str
    booking_id: UUID
    customer_id: UUID


async def bookings_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> list[dict[str, Any]]:
    """All that is kept of a customer's holds and bookings, by id."""
    statement = text(
        "SELECT b.booking_id, b.show_id, s.movie_title, s.theater_name, s.city, s.auditorium_name,"
        " s.starts_at, b.seats, b.total_cents, b.currency, b.state, b.created_at, b.expires_at,"
        " b.payment_id, b.payment_failure, b.confirmed_at, b.cancelled_at, b.cancel_reason,"
        " b.cancel_note, b.cancelled_seats, b.refund_cents, b.refunded_cents, b.email_key,"
        " b.address_key FROM bookings AS b"
        " LEFT JOIN shows AS s ON s.region = b.region AND s.show_id = b.show_id"
        " WHERE b.customer_id = CAST(:customer_id AS uuid)"
        " AND b.booking_id > CAST(:after AS uuid)"
        " ORDER BY b.booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"customer_id": customer_id, "after": after, "limit": limit}
    return [dict(row) for row in await tx.execute(statement, values)]


async def admissions_of(tx: Transaction, booking_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """When who had these tickets went in."""
    statement = text(
        "SELECT a.booking_id, a.seat, a.gate, a.admitted_at FROM admissions AS a"
        " JOIN bookings AS b ON b.region = a.region AND b.booking_id = a.booking_id"
        " WHERE b.booking_id = ANY(CAST(:booking_ids AS uuid[]))"
        " ORDER BY a.admitted_at ASC, a.seat ASC"
    )
    rows = await tx.execute(statement, {"booking_ids": list(booking_ids)})
    return [dict(row) for row in rows]


async def refused_scans_of(tx: Transaction, booking_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """When these tickets were shown and let nobody in."""
    statement = text(
        "SELECT booking_id, seats, result, gate, scanned_at FROM refused_scans"
        " WHERE booking_id = ANY(CAST(:booking_ids AS uuid[])) ORDER BY refusal_id ASC"
    )
    rows = await tx.execute(statement, {"booking_ids": list(booking_ids)})
    return [dict(row) for row in rows]


async def refused_of(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """Payments that became no booking."""
    statement = text(
        "SELECT payment_id, hold_id, reason, refund_cents, refunded_cents, currency, refused_at"
        " FROM refused_payments WHERE customer_id = CAST(:customer_id AS uuid)"
        " ORDER BY refused_at ASC, payment_id ASC"
    )
    return [dict(row) for row in await tx.execute(statement, {"customer_id": customer_id})]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What stands in the way of forgetting a customer: "hold", "booking" or "refund"."""

    kind: str
    booking_id: UUID
    movie_title: str | None
    until: datetime | None


async def unfinished(tx: Transaction, customer_id: UUID, limit: int) -> list[Unfinished]:
    """Seats that are held, tickets for shows that are not over, money on its way back."""
    statement = text(
        "SELECT CASE WHEN b.state = 'held' THEN 'hold' WHEN b.state = 'confirmed'"
        " AND s.ends_at > now() THEN 'booking' ELSE 'refund' END AS kind,"
        " b.booking_id, s.movie_title,"
        " CASE WHEN b.state = 'held' THEN b.expires_at"
        " WHEN b.state = 'confirmed' AND s.ends_at > now() THEN s.ends_at END AS until"
        " FROM bookings AS b"
        " LEFT JOIN shows AS s ON s.region = b.region AND s.show_id = b.show_id"
        " WHERE b.customer_id = CAST(:customer_id AS uuid)"
        " AND (b.state = 'held' AND b.expires_at > now()"
        " OR b.state = 'confirmed' AND s.ends_at > now()"
        " OR b.refunded_cents < b.refund_cents)"
        " ORDER BY b.created_at ASC, b.booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"customer_id": customer_id, "limit": limit})
    return [Unfinished(row.kind, row.booking_id, row.movie_title, row.until) for row in rows]


async def owned_by(tx: Transaction, customer_ids: Sequence[UUID]) -> list[Owned]:
    """Their bookings. A hold that is alive is left: its payment would not find its owner."""
    statement = text(
        "SELECT region, booking_id, customer_id FROM bookings"
        " WHERE customer_id = ANY(CAST(:customer_ids AS uuid[]))"
        " AND NOT (state = 'held' AND expires_at > now()) ORDER BY region ASC, booking_id ASC"
    )
    rows = await tx.execute(statement, {"customer_ids": sorted(customer_ids)})
    return [Owned(row.region, row.booking_id, row.customer_id) for row in rows]


async def give_to_nobody(tx: Transaction, owned: Sequence[Owned], nobody: Sequence[UUID]) -> None:
    """Each of these bookings gets an owner of its own, whom nobody is."""
    bookings = text(
        "UPDATE bookings SET customer_id = t.nobody, email_key = NULL, address_key = NULL"
        " FROM unnest(CAST(:regions AS text[]), CAST(:booking_ids AS uuid[]),"
        " CAST(:nobody AS uuid[])) AS t(region, booking_id, nobody)"
        " WHERE bookings.region = t.region AND bookings.booking_id = t.booking_id"
    )
    refunds = text(
        "UPDATE booking_refunds SET actor_id = t.nobody"
        " FROM unnest(CAST(:booking_ids AS uuid[]), CAST(:owners AS uuid[]),"
        " CAST(:nobody AS uuid[])) AS t(booking_id, owner, nobody)"
        " WHERE booking_refunds.booking_id = t.booking_id AND booking_refunds.actor_id = t.owner"
    )
    ids = {"booking_ids": [one.booking_id for one in owned], "nobody": list(nobody)}
    await tx.execute(bookings, {**ids, "regions": [one.region for one in owned]})
    await tx.execute(refunds, {**ids, "owners": [one.customer_id for one in owned]})


async def refused_ids_of(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Their payments that became no booking."""
    statement = text(
        "SELECT payment_id FROM refused_payments"
        " WHERE customer_id = ANY(CAST(:customer_ids AS uuid[])) ORDER BY payment_id ASC"
    )
    rows = await tx.execute(statement, {"customer_ids": sorted(customer_ids)})
    return [row.payment_id for row in rows]


async def give_refused_to_nobody(
    tx: Transaction, payment_ids: Sequence[UUID], nobody: Sequence[UUID]
) -> None:
    """As with bookings."""
    statement = text(
        "UPDATE refused_payments SET customer_id = t.nobody"
        " FROM unnest(CAST(:payment_ids AS uuid[]), CAST(:nobody AS uuid[]))"
        " AS t(payment_id, nobody) WHERE refused_payments.payment_id = t.payment_id"
    )
    await tx.execute(statement, {"payment_ids": list(payment_ids), "nobody": list(nobody)})
