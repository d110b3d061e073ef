"""The money seen by an auditor: totals, one line a payment, and what does not fit together."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cinesync.chassis.database import Transaction, text

LINES_MAX: Final = 1000
TROUBLES_MAX: Final = 100
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTotals:
    """What came in and went back for one payment, in minor units.

    `refund_pending_cents` is on its way back. What is left of the captures must be booked.
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
        """What a booking has to stand for."""
        return self.captured_cents - self.refunded_cents - self.refund_pending_cents


async def money_by_payment(tx: Transaction, after: UUID | None, limit: int) -> list[PaymentTotals]:
    """Every payment, by id, a page at a time."""
    statement = text(
        "SELECT p.payment_id, p.hold_id, p.currency, p.status,"
        " (SELECT COALESCE(SUM(c.amount_cents), 0) FROM captures c"
        " WHERE c.payment_id = p.payment_id) AS captured_cents,"
        " (SELECT COALESCE(SUM(r.amount_cents), 0) FROM refunds r"
        " WHERE r.payment_id = p.payment_id AND r.status = 'done') AS refunded_cents,"
        " (SELECT COALESCE(SUM(r.amount_cents), 0) FROM refunds r"
        " WHERE r.payment_id = p.payment_id AND r.status NOT IN ('done', 'cancelled'))"
        " AS refund_pending_cents"
        " FROM payments p WHERE p.payment_id > CAST(:after AS uuid)"
        " ORDER BY p.payment_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"after": after or FIRST, "limit": min(limit, LINES_MAX)})
    return [
        PaymentTotals(
            payment_id=row.payment_id,
            hold_id=row.hold_id,
            currency=row.currency,
            status=row.status,
            captured_cents=int(row.captured_cents),
            refunded_cents=int(row.refunded_cents),
            refund_pending_cents=int(row.refund_pending_cents),
        )
        for row in rows
    ]


async def contradictions(
    tx: Transaction, limit: int, after: UUID = FIRST, last: UUID = LAST
) -> list[str]:
    """Payments whose captures, refunds and status do not fit together; none, if all is well.

    Of those above `after`, up to `last`: a page costs what it holds.
    """
    statement = text(
        "SELECT p.payment_id, p.status, p.amount_cents, p.refund_asked_cents, p.refunded_cents,"
        " c.kept, c.surplus, r.asked, r.done, r.surplus_asked FROM payments p"
        " LEFT JOIN LATERAL (SELECT"
        " SUM(CASE WHEN surplus THEN 0 ELSE amount_cents END) AS kept,"
        " SUM(CASE WHEN surplus THEN amount_cents ELSE 0 END) AS surplus"
        " FROM captures WHERE captures.payment_id = p.payment_id) c ON TRUE"
        " LEFT JOIN LATERAL (SELECT"
        " SUM(CASE WHEN surplus OR status = 'cancelled' THEN 0 ELSE amount_cents END) AS asked,"
        " SUM(CASE WHEN status = 'done' AND NOT surplus THEN amount_cents ELSE 0 END) AS done,"
        " SUM(CASE WHEN surplus AND status <> 'cancelled' THEN amount_cents ELSE 0 END)"
        " AS surplus_asked FROM refunds WHERE refunds.payment_id = p.payment_id) r ON TRUE"
        " WHERE p.payment_id > CAST(:after AS uuid) AND p.payment_id <= CAST(:last AS uuid)"
        " AND (COALESCE(c.kept, 0)"
        " <> CASE WHEN p.status IN ('pending', 'failed') THEN 0 ELSE p.amount_cents END"
        " OR COALESCE(c.surplus, 0) <> COALESCE(r.surplus_asked, 0)"
        " OR p.refund_asked_cents <> COALESCE(r.asked, 0)"
        " OR p.refunded_cents <> COALESCE(r.done, 0))"
        " ORDER BY p.payment_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"limit": limit, "after": after, "last": last})
    return [
        f"payment {row.payment_id} ({row.status}, {row.amount_cents}): captured {row.kept or 0},"
        f" surplus {row.surplus or 0}, refunds asked {row.asked or 0}, done {row.done or 0},"
        f" of surplus {row.surplus_asked or 0}; its row says {row.refund_asked_cents} asked,"
        f" {row.refunded_cents} done"
        for row in rows
    ]
