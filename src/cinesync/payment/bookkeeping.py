"""The money seen by an auditor: totals, one line a payment, and our books beside the provider's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from cinesync.chassis.db import Database, Transaction, text
from cinesync.payment.gateways import Gateway, StatementLine

LINES_MAX: Final = 1000
TROUBLES_MAX: Final = 100
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
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
    def kept_cents(self) -> int:
        """What a booking has to stand for."""
        return self.captured_cents - self.refunded_cents - self.refund_pending_cents


async def money_by_payment(tx: Transaction, after: UUID | None, limit: int) -> list[Money]:
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
        " FROM payments p WHERE CAST(:after AS uuid) IS NULL OR p.payment_id > CAST(:after AS uuid)"
        " ORDER BY p.payment_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"after": after, "limit": min(limit, LINES_MAX)})
    return [
        Money(
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
        " LEFT JOIN (SELECT payment_id,"
        " SUM(CASE WHEN surplus THEN 0 ELSE amount_cents END) AS kept,"
        " SUM(CASE WHEN surplus THEN amount_cents ELSE 0 END) AS surplus"
        " FROM captures WHERE payment_id > CAST(:after AS uuid)"
        " AND payment_id <= CAST(:last AS uuid)"
        " GROUP BY payment_id) c ON c.payment_id = p.payment_id"
        " LEFT JOIN (SELECT payment_id,"
        " SUM(CASE WHEN surplus OR status = 'cancelled' THEN 0 ELSE amount_cents END) AS asked,"
        " SUM(CASE WHEN status = 'done' AND NOT surplus THEN amount_cents ELSE 0 END) AS done,"
        " SUM(CASE WHEN surplus AND status <> 'cancelled' THEN amount_cents ELSE 0 END)"
        " AS surplus_asked FROM refunds WHERE payment_id > CAST(:after AS uuid)"
        " AND payment_id <= CAST(:last AS uuid)"
        " GROUP BY payment_id) r ON r.payment_id = p.payment_id"
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


@dataclass(slots=True)
class Reconciliation:
    """Our books beside the provider's statement, in minor units by currency.

    `in_flight` lines belong to payments or refunds that are still pending here; `troubles` have
    no such excuse. Run it when nothing is being sold, or again before believing a trouble.
    """

    captured_cents: dict[str, int] = field(default_factory=dict)
    refunded_cents: dict[str, int] = field(default_factory=dict)
    in_flight: list[str] = field(default_factory=list)  # the first of `in_flight_count`
    in_flight_count: int = 0
    troubles: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    amount_cents: int
    currency: str
    is_final: bool


async def reconcile(
    db: Database, gateway: Gateway, progress: Callable[[int], None] = lambda _: None
) -> Reconciliation:
    """Reads the provider's whole statement, and tells how many lines so far. Raises GatewayAway."""
    result = Reconciliation()
    counted = {"capture": 0, "refund": 0}
    after, read = "", 0
    while True:
        lines, after = await gateway.statement(after)
        captures = await db.read(_captures, gateway.name, _names(lines, "capture"))
        refunds = await db.read(_refunds, gateway.name, _names(lines, "refund"))
        pending = await db.read(_pending, [line.reference for line in lines])
        before = len(result.in_flight)
        for line in lines:
            ours = (captures if line.kind == "capture" else refunds).get(line.entry_id)
            counted[line.kind] += ours is not None and ours.is_final
            excused = result.in_flight if line.reference in pending else result.troubles
            _compare(line, ours, excused, result)
        result.in_flight_count += len(result.in_flight) - before
        del result.in_flight[TROUBLES_MAX:]
        read += len(lines)
        progress(read)
        if not after:
            break
    expected = await db.read(_counts, gateway.name)
    for kind, count in expected.items():
        if count > counted[kind]:
            result.troubles.append(
                f"{count - counted[kind]} of our {kind}s are not on the provider's statement"
            )
    return result


def _names(lines: Sequence[StatementLine], kind: str) -> list[str]:
    return [line.entry_id for line in lines if line.kind == kind]


def _compare(
    line: StatementLine, ours: _Entry | None, excused: list[str], result: Reconciliation
) -> None:
    sums = result.captured_cents if line.kind == "capture" else result.refunded_cents
    sums[line.currency] = sums.get(line.currency, 0) + line.amount_cents
    said = f"{line.kind} {line.entry_id} of payment {line.reference}: {line.amount_cents}"
    if ours is None:
        excused.append(f"{said} {line.currency} is not in our books")
    elif (ours.amount_cents, ours.currency) != (line.amount_cents, line.currency):
        result.troubles.append(f"{said} {line.currency}, but our books say {ours.amount_cents}")
    elif not ours.is_final:
        result.in_flight.append(f"{said} {line.currency} is still pending here")
    del result.troubles[TROUBLES_MAX:]


async def _captures(tx: Transaction, provider: str, charge_ids: list[str]) -> dict[str, _Entry]:
    statement = text(
        "SELECT charge_id, amount_cents, currency FROM captures"
        " WHERE provider = CAST(:provider AS text)"
        " AND charge_id = ANY(CAST(:charge_ids AS text[]))"
    )
    rows = await tx.execute(statement, {"provider": provider, "charge_ids": charge_ids})
    return {row.charge_id: _Entry(row.amount_cents, row.currency, is_final=True) for row in rows}


async def _refunds(tx: Transaction, provider: str, refund_ids: list[str]) -> dict[str, _Entry]:
    statement = text(
        "SELECT CAST(refund_id AS text) AS name, amount_cents, currency, status FROM refunds"
        " WHERE provider = CAST(:provider AS text)"
        " AND CAST(refund_id AS text) = ANY(CAST(:refund_ids AS text[]))"
    )
    rows = await tx.execute(statement, {"provider": provider, "refund_ids": refund_ids})
    return {r.name: _Entry(r.amount_cents, r.currency, r.status == "done") for r in rows}


async def _pending(tx: Transaction, references: list[str]) -> set[str]:
    statement = text(
        "SELECT CAST(payment_id AS text) AS name FROM payments WHERE status = 'pending'"
        " AND CAST(payment_id AS text) = ANY(CAST(:references AS text[]))"
    )
    return {row.name for row in await tx.execute(statement, {"references": references})}


async def _counts(tx: Transaction, provider: str) -> dict[str, int]:
    statement = text(
        "SELECT (SELECT COUNT(*) FROM captures"
        " WHERE provider = CAST(:provider AS text)) AS capture,"
        " (SELECT COUNT(*) FROM refunds WHERE provider = CAST(:provider AS text)"
        " AND status = 'done') AS refund"
    )
    row = (await tx.execute(statement, {"provider": provider})).one()
    return {"capture": row.capture, "refund": row.refund}
