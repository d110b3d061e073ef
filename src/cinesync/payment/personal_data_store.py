"""Statements over what payment knows of one customer: to show it, and to forget whose it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cinesync.chassis.database import Transaction, text


async def payments_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> list[dict[str, Any]]:
    """All that is kept of a customer's payments, by id."""
    statement = text(
        "SELECT payment_id, hold_id, provider, charge_id, amount_cents, currency, status,"
        " failure_reason, refund_asked_cents, refunded_cents, idempotency_key, created_at,"
        " settled_at FROM payments WHERE customer_id = CAST(:customer_id AS uuid)"
        " AND payment_id > CAST(:after AS uuid)"
        " ORDER BY payment_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"customer_id": customer_id, "after": after, "limit": limit}
    return [dict(row) for row in await tx.execute(statement, values)]


async def captures_of(tx: Transaction, payment_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Money that was taken for these."""
    statement = text(
        "SELECT payment_id, provider, charge_id, amount_cents, currency, surplus, captured_at"
        " FROM captures WHERE payment_id = ANY(CAST(:payment_ids AS uuid[]))"
        " ORDER BY captured_at ASC, charge_id ASC"
    )
    rows = await tx.execute(statement, {"payment_ids": list(payment_ids)})
    return [dict(row) for row in rows]


async def refunds_of(tx: Transaction, payment_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Money that went back, or is to."""
    statement = text(
        "SELECT payment_id, refund_id, provider, charge_id, amount_cents, currency, reason,"
        " surplus, status, created_at, done_at FROM refunds"
        " WHERE payment_id = ANY(CAST(:payment_ids AS uuid[]))"
        " ORDER BY created_at ASC, refund_id ASC"
    )
    rows = await tx.execute(statement, {"payment_ids": list(payment_ids)})
    return [dict(row) for row in rows]


async def disputes_of(tx: Transaction, payment_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """What their card's bank was asked to take back."""
    statement = text(
        "SELECT payment_id, dispute_id, provider, charge_id, amount_cents, currency, status,"
        " reason, created_at FROM disputes WHERE payment_id = ANY(CAST(:payment_ids AS uuid[]))"
        " ORDER BY created_at ASC, dispute_id ASC"
    )
    rows = await tx.execute(statement, {"payment_ids": list(payment_ids)})
    return [dict(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Money whose way is not decided: "payment", "refund" or "dispute"."""

    kind: str
    payment_id: UUID
    amount_cents: int
    currency: str


async def unfinished(
    tx: Transaction, customer_id: UUID, settling_seconds: int, limit: int
) -> list[Unfinished]:
    """Payments that are pending or were taken a moment ago, refunds that are not done, disputes."""
    statement = text(
        "SELECT 'payment' AS kind, payment_id, amount_cents, currency FROM payments"
        " WHERE customer_id = CAST(:customer_id AS uuid) AND (status = 'pending'"
        " OR status = 'success' AND settled_at > now() - CAST(:seconds AS bigint)"
        " * interval '1 second')"
        " UNION ALL SELECT 'refund' AS kind, r.payment_id, r.amount_cents, r.currency"
        " FROM refunds AS r JOIN payments AS p ON p.payment_id = r.payment_id"
        " WHERE p.customer_id = CAST(:customer_id AS uuid)"
        " AND r.status NOT IN ('done', 'cancelled')"
        " UNION ALL SELECT 'dispute' AS kind, d.payment_id, d.amount_cents, d.currency"
        " FROM disputes AS d JOIN payments AS p ON p.payment_id = d.payment_id"
        " WHERE p.customer_id = CAST(:customer_id AS uuid) AND d.status IN ('inquiry', 'open')"
        " ORDER BY payment_id ASC, kind ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"customer_id": customer_id, "seconds": settling_seconds, "limit": limit}
    return [Unfinished(*row) for row in await tx.execute(statement, values)]


async def owned_by(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Their payments. One that is pending is left: what it becomes has to find its owner."""
    statement = text(
        "SELECT payment_id FROM payments WHERE customer_id = ANY(CAST(:customer_ids AS uuid[]))"
        " AND status <> 'pending' ORDER BY payment_id ASC"
    )
    rows = await tx.execute(statement, {"customer_ids": sorted(customer_ids)})
    return [row.payment_id for row in rows]


async def anonymize(tx: Transaction, payment_ids: Sequence[UUID], nobody: Sequence[UUID]) -> None:
    """Each gets an owner of its own, whom nobody is; what its payer chose and saw is gone."""
    statement = text(
        "UPDATE payments SET customer_id = t.nobody, idempotency_key = CAST(t.payment_id AS text),"
        " fingerprint = '', confirm_url = '', trace = ''"
        " FROM unnest(CAST(:payment_ids AS uuid[]), CAST(:nobody AS uuid[]))"
        " AS t(payment_id, nobody) WHERE payments.payment_id = t.payment_id"
    )
    await tx.execute(statement, {"payment_ids": list(payment_ids), "nobody": list(nobody)})
