"""Statements for the audit: the money of each payment, and payments that contradict themselves."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Uuid, bindparam, cast, func, select

from cinesync.chassis.database import Transaction, compiled, text
from cinesync.payment.tables import captures, payments, refunds

LINES_MAX: Final = 1000
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTotals:
    """What was captured and refunded for one payment, in minor units.

    `refund_pending_cents` is requested and not done. A booking accounts for the rest.
    """

    payment_id: UUID
    hold_id: UUID
    currency: str
    status: str
    captured_cents: int
    refunded_cents: int
    refund_pending_cents: int

    @property
    def retained_cents(self) -> int:
        """What a booking accounts for."""
        return self.captured_cents - self.refunded_cents - self.refund_pending_cents


def _refunded(condition: ColumnElement[bool]) -> ColumnElement[int]:
    total = cast(func.coalesce(func.sum(refunds.c.amount_cents), 0), BigInteger)
    return (
        select(total)
        .where(refunds.c.payment_id == payments.c.payment_id, condition)
        .scalar_subquery()
    )


TOTALS: Final = compiled(
    select(
        payments.c.payment_id,
        payments.c.hold_id,
        payments.c.currency,
        payments.c.status,
        select(cast(func.coalesce(func.sum(captures.c.amount_cents), 0), BigInteger))
        .where(captures.c.payment_id == payments.c.payment_id)
        .scalar_subquery()
        .label("captured_cents"),
        _refunded(refunds.c.status == "done").label("refunded_cents"),
        _refunded(refunds.c.status.not_in(("done", "cancelled"))).label("refund_pending_cents"),
    )
    .where(payments.c.payment_id > bindparam("after"))
    .order_by(payments.c.payment_id.asc())
    .limit(bindparam("limit", type_=BigInteger))
)


async def money_by_payment(tx: Transaction, after: UUID | None, limit: int) -> list[PaymentTotals]:
    """Payments by id, after `after`."""
    rows = await tx.execute(TOTALS, {"after": after or FIRST, "limit": min(limit, LINES_MAX)})
    return [PaymentTotals(**row) for row in rows]


CONTRADICTIONS: Final = text(
    "SELECT p.payment_id, p.status, p.amount_cents, p.refund_asked_cents, p.refunded_cents,"
    " c.captured, c.surplus, r.requested, r.done, r.surplus_requested FROM payments p"
    " LEFT JOIN LATERAL (SELECT"
    " SUM(CASE WHEN surplus THEN 0 ELSE amount_cents END) AS captured,"
    " SUM(CASE WHEN surplus THEN amount_cents ELSE 0 END) AS surplus"
    " FROM captures WHERE captures.payment_id = p.payment_id) c ON TRUE"
    " LEFT JOIN LATERAL (SELECT"
    " SUM(CASE WHEN surplus OR status = 'cancelled' THEN 0 ELSE amount_cents END) AS requested,"
    " SUM(CASE WHEN status = 'done' AND NOT surplus THEN amount_cents ELSE 0 END) AS done,"
    " SUM(CASE WHEN surplus AND status <> 'cancelled' THEN amount_cents ELSE 0 END)"
    " AS surplus_requested FROM refunds WHERE refunds.payment_id = p.payment_id) r ON TRUE"
    " WHERE p.payment_id > :after AND p.payment_id <= :last"
    " AND (COALESCE(c.captured, 0)"
    " <> CASE WHEN p.status IN ('pending', 'failed') THEN 0 ELSE p.amount_cents END"
    " OR COALESCE(c.surplus, 0) <> COALESCE(r.surplus_requested, 0)"
    " OR p.refund_asked_cents <> COALESCE(r.requested, 0)"
    " OR p.refunded_cents <> COALESCE(r.done, 0))"
    " ORDER BY p.payment_id ASC LIMIT :limit",
    after=Uuid,
    last=Uuid,
    limit=BigInteger,
)


async def contradictions(
    tx: Transaction, limit: int, after: UUID = FIRST, last: UUID = LAST
) -> list[str]:
    """Payments from after `after` to `last` whose captures, refunds and status contradict each
    other."""
    rows = await tx.execute(CONTRADICTIONS, {"limit": limit, "after": after, "last": last})
    return [
        f"payment {row.payment_id} ({row.status}, {row.amount_cents}):"
        f" captured {row.captured or 0}, surplus {row.surplus or 0},"
        f" refunds requested {row.requested or 0}, done {row.done or 0},"
        f" of surplus {row.surplus_requested or 0};"
        f" its row says {row.refund_asked_cents} requested, {row.refunded_cents} done"
        for row in rows
    ]
