"""Our captures, refunds and disputes beside a provider's whole statement, every difference by name.

The statement is read a page at a time, each line against our books: it may be missing here, or
differ in amount or currency. Which lines there were is kept in a file; then our books are read a
page at a time against that: what of them is missing there. Memory is that of a page either way.

A refund that failed has two lines there, and so has a dispute that was won: only what is left of
them counts. Money of other systems on the same account is counted and passed over.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from cinesync.chassis.database import Database, Row, Transaction, text
from cinesync.payment.gateways import LineKind, PaymentGateway, StatementLine
from cinesync.payment.model import RefundStatus
from cinesync.payment.refund_model import DisputeStatus
from cinesync.payment.statement_index import StatementIndex

PAGE: Final = 500
TROUBLES_MAX: Final = 1_000
FIRST: Final = UUID(int=0)
BACK_AGAIN: Final = frozenset({LineKind.REFUND_FAILED, LineKind.DISPUTE_REVERSED})
OF_REFUNDS: Final = frozenset({LineKind.REFUND, LineKind.REFUND_FAILED})
# What must not be on the statement, unless it came again.
NOT_THERE: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELLED})
MONEY_IS_BACK: Final = frozenset(
    {DisputeStatus.WON, DisputeStatus.CLOSED, DisputeStatus.PREVENTED, DisputeStatus.INQUIRY}
)


@dataclass(slots=True)
class Reconciliation:
    """Our books beside the provider's statement, in minor units by currency.

    `in_flight` belongs to payments, refunds and disputes that are not decided here; `troubles`
    have no such excuse. Both lists hold the first of them all.
    """

    captured_cents: dict[str, int] = field(default_factory=dict)
    refunded_cents: dict[str, int] = field(default_factory=dict)
    in_flight: list[str] = field(default_factory=list)
    in_flight_count: int = 0
    troubles: list[str] = field(default_factory=list)
    trouble_count: int = 0
    foreign_count: int = 0

    def trouble(self, said: str) -> None:
        self.trouble_count += 1
        if len(self.troubles) < TROUBLES_MAX:
            self.troubles.append(said)

    def on_its_way(self, said: str) -> None:
        self.in_flight_count += 1
        if len(self.in_flight) < TROUBLES_MAX:
            self.in_flight.append(said)

    def count(self, line: StatementLine) -> None:
        """Into the sums."""
        sums = self.captured_cents if line.kind is LineKind.CAPTURE else self.refunded_cents
        if line.kind in OF_REFUNDS or line.kind is LineKind.CAPTURE:
            cents = -line.amount_cents if line.kind in BACK_AGAIN else line.amount_cents
            sums[line.currency] = sums.get(line.currency, 0) + cents


@dataclass(frozen=True, slots=True)
class _Ours:
    """What our books have of one line: under `name` in the index."""

    name: str
    amount_cents: int
    currency: str


@dataclass(frozen=True, slots=True)
class _Page:
    """What our books have of a page of the statement."""

    captures: Mapping[str, _Ours]
    refunds: Mapping[str, _Ours]
    disputes: Mapping[str, _Ours]
    pending: frozenset[str]

    def of(self, line: StatementLine) -> _Ours | None:
        if line.kind is LineKind.CAPTURE:
            return self.captures.get(line.entry_id)
        if line.kind in OF_REFUNDS:
            return self.refunds.get(line.entry_id) or self.refunds.get(line.our_id)
        return self.disputes.get(line.entry_id)

    def is_foreign(self, line: StatementLine) -> bool:
        """Nothing in it says that it concerns us."""
        named = line.reference if line.kind is LineKind.CAPTURE else line.our_id
        return not named and line.charge_id not in self.captures


async def reconcile(
    db: Database, gateway: PaymentGateway, progress: Callable[[int], None] = lambda _: None
) -> Reconciliation:
    """Reads the provider's whole statement, and tells how many lines so far. Raises GatewayAway."""
    result = Reconciliation()
    begun_at = await db.read(_now)
    after, read = "", 0
    with StatementIndex() as index:
        while True:
            lines, after = await gateway.statement(after)
            page = await db.read(_page, gateway.name, lines)
            for line in lines:
                _compare(line, page, index, result)
            read += len(lines)
            progress(read)
            if not after:
                break
        for said in index.foreign():
            result.trouble(f"{said} is not in our books")
        await _look_for_captures(db, gateway.name, begun_at, index, result)
        await _look_for_refunds(db, gateway.name, begun_at, index, result)
        await _look_for_disputes(db, gateway.name, begun_at, index, result)
    return result


def _compare(
    line: StatementLine, page: _Page, index: StatementIndex, result: Reconciliation
) -> None:
    ours = page.of(line)
    if ours is None and page.is_foreign(line):
        result.foreign_count += 1
        return
    result.count(line)
    said = _said(line.kind, line.entry_id, line.reference, line.amount_cents, line.currency)
    if ours is None:
        if line.reference in page.pending:
            result.on_its_way(f"{said} is not in our books yet")
        else:
            index.add_foreign(line.entry_id, -1 if line.kind in BACK_AGAIN else 1, said)
        return
    index.add([(line.kind, ours.name)])
    # A dispute takes what the bank says, also more than is left of the payment.
    there, here = (line.amount_cents, line.currency), (ours.amount_cents, ours.currency)
    if there != here and line.kind not in BACK_AGAIN:
        result.trouble(f"{said}, but our books say {ours.amount_cents} {ours.currency}")


def _said(kind: str, name: str, payment: object, cents: int, currency: str) -> str:
    of = f" of payment {payment}" if payment else ""
    return f"{kind} {name}{of}: {cents} {currency}"


async def _look_for_captures(
    db: Database, provider: str, begun_at: datetime, index: StatementIndex, result: Reconciliation
) -> None:
    """Captures here that are missing there."""
    after = ""
    while rows := await db.read(_captures_page, provider, after, begun_at):
        seen = index.seen(LineKind.CAPTURE, [row.charge_id for row in rows])
        for row in rows:
            if row.charge_id not in seen:
                said = _said(
                    "capture", row.charge_id, row.payment_id, row.amount_cents, row.currency
                )
                result.trouble(f"{said} is not on the provider's statement")
        after = rows[-1].charge_id


async def _look_for_refunds(
    db: Database, provider: str, begun_at: datetime, index: StatementIndex, result: Reconciliation
) -> None:
    """Refunds whose state here is not what the statement comes to."""
    after = FIRST
    while rows := await db.read(_refunds_page, provider, after, begun_at):
        gone = _net(index, LineKind.REFUND, LineKind.REFUND_FAILED, [r.name for r in rows])
        lost = _net(
            index,
            LineKind.DISPUTE,
            LineKind.DISPUTE_REVERSED,
            [row.provider_refund_id for row in rows],
        )
        for row in rows:
            is_there = row.name in gone or row.provider_refund_id in lost
            said = _said("refund", row.name, row.payment_id, row.amount_cents, row.currency)
            status = RefundStatus(row.status)
            if status is RefundStatus.DONE and not is_there:
                result.trouble(f"{said} is not on the provider's statement")
            elif status in NOT_THERE and is_there:
                result.trouble(f"{said} is {status} here, but on the provider's statement")
            elif is_there and status is not RefundStatus.DONE:
                result.on_its_way(f"{said} is {status} here")
        after = UUID(rows[-1].name)


async def _look_for_disputes(
    db: Database, provider: str, begun_at: datetime, index: StatementIndex, result: Reconciliation
) -> None:
    """Disputes whose state here is not what the statement comes to; lost ones are refunds."""
    after = FIRST
    while rows := await db.read(_disputes_page, provider, after, begun_at):
        names = [row.provider_dispute_id for row in rows]
        held = _net(index, LineKind.DISPUTE, LineKind.DISPUTE_REVERSED, names)
        for row in rows:
            name = row.provider_dispute_id
            said = _said("dispute", name, row.payment_id, row.amount_cents, row.currency)
            if DisputeStatus(row.status) in MONEY_IS_BACK and name in held:
                result.trouble(f"{said} is {row.status} here, but the provider has the money")
            elif DisputeStatus(row.status) is DisputeStatus.OPEN:
                result.on_its_way(f"{said} is open here")
        after = rows[-1].dispute_id


def _net(index: StatementIndex, gone: LineKind, again: LineKind, names: Sequence[str]) -> set[str]:
    """Those that went and did not come again."""
    return index.seen(gone, names) - index.seen(again, names)


async def _now(tx: Transaction) -> datetime:
    moment: datetime = (await tx.execute(text("SELECT now()"))).scalar_one()
    return moment


async def _page(tx: Transaction, provider: str, lines: Sequence[StatementLine]) -> _Page:
    charges = [line.charge_id for line in lines]
    refunds = [line for line in lines if line.kind in OF_REFUNDS]
    names = [line.entry_id for line in lines if line.kind not in OF_REFUNDS]
    return _Page(
        captures=await _captures(tx, provider, charges),
        refunds=await _refunds(tx, provider, refunds) if refunds else {},
        disputes=await _disputes(tx, provider, names),
        pending=await _pending(tx, [line.reference for line in lines]),
    )


async def _captures(tx: Transaction, provider: str, charge_ids: list[str]) -> dict[str, _Ours]:
    statement = text(
        "SELECT charge_id, amount_cents, currency FROM captures"
        " WHERE provider = CAST(:provider AS text)"
        " AND charge_id = ANY(CAST(:charge_ids AS text[]))"
    )
    rows = await tx.execute(statement, {"provider": provider, "charge_ids": charge_ids})
    return {row.charge_id: _Ours(row.charge_id, row.amount_cents, row.currency) for row in rows}


async def _refunds(
    tx: Transaction, provider: str, lines: Iterable[StatementLine]
) -> dict[str, _Ours]:
    """By our name, and by the provider's."""
    statement = text(
        "SELECT CAST(refund_id AS text) AS name, provider_refund_id, amount_cents, currency"
        " FROM refunds WHERE provider = CAST(:provider AS text)"
        " AND (refund_id = ANY(CAST(:ours AS uuid[]))"
        " OR provider_refund_id = ANY(CAST(:theirs AS text[])))"
    )
    known = list(lines)
    values = {
        "provider": provider,
        "ours": [found for line in known if (found := _uuid(line.our_id)) is not None],
        "theirs": [line.entry_id for line in known],
    }
    refunds: dict[str, _Ours] = {}
    for row in await tx.execute(statement, values):
        refunds[row.name] = _Ours(row.name, row.amount_cents, row.currency)
        if row.provider_refund_id:
            refunds[row.provider_refund_id] = refunds[row.name]
    return refunds


async def _disputes(tx: Transaction, provider: str, names: list[str]) -> dict[str, _Ours]:
    statement = text(
        "SELECT provider_dispute_id, amount_cents, currency FROM disputes"
        " WHERE provider = CAST(:provider AS text)"
        " AND provider_dispute_id = ANY(CAST(:names AS text[]))"
    )
    rows = await tx.execute(statement, {"provider": provider, "names": names})
    return {
        row.provider_dispute_id: _Ours(row.provider_dispute_id, row.amount_cents, row.currency)
        for row in rows
    }


async def _pending(tx: Transaction, references: list[str]) -> frozenset[str]:
    statement = text(
        "SELECT CAST(payment_id AS text) AS name FROM payments WHERE status = 'pending'"
        " AND payment_id = ANY(CAST(:references AS uuid[]))"
    )
    ids = [found for name in references if (found := _uuid(name)) is not None]
    return frozenset(row.name for row in await tx.execute(statement, {"references": ids}))


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


async def _captures_page(
    tx: Transaction, provider: str, after: str, before: datetime
) -> Sequence[Row]:
    statement = text(
        "SELECT charge_id, payment_id, amount_cents, currency FROM captures"
        " WHERE provider = CAST(:provider AS text) AND charge_id > CAST(:after AS text)"
        " AND captured_at < CAST(:before AS timestamptz)"
        " ORDER BY charge_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"provider": provider, "after": after, "before": before, "limit": PAGE}
    return list(await tx.execute(statement, values))


async def _refunds_page(
    tx: Transaction, provider: str, after: UUID, before: datetime
) -> Sequence[Row]:
    statement = text(
        "SELECT CAST(r.refund_id AS text) AS name, r.payment_id, r.provider_refund_id,"
        " r.amount_cents, r.currency, r.status FROM refunds r"
        " WHERE r.provider = CAST(:provider AS text) AND r.refund_id > CAST(:after AS uuid)"
        " AND COALESCE(r.changed_at, r.done_at, r.created_at) < CAST(:before AS timestamptz)"
        " ORDER BY r.refund_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"provider": provider, "after": after, "before": before, "limit": PAGE}
    return list(await tx.execute(statement, values))


async def _disputes_page(
    tx: Transaction, provider: str, after: UUID, before: datetime
) -> Sequence[Row]:
    statement = text(
        "SELECT dispute_id, provider_dispute_id, payment_id, amount_cents, currency, status"
        " FROM disputes WHERE provider = CAST(:provider AS text)"
        " AND dispute_id > CAST(:after AS uuid) AND changed_at < CAST(:before AS timestamptz)"
        " ORDER BY dispute_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"provider": provider, "after": after, "before": before, "limit": PAGE}
    return list(await tx.execute(statement, values))
