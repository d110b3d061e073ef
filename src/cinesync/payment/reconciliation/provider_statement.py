"""Compares our captures, refunds and disputes with a provider's statement, line by line.

1. Read the statement page by page. Compare each line with our records: it may be missing here, or
   differ in amount or currency. Note in a temporary file which lines there were (`StatementIndex`).
2. Read our records page by page. Look each up in that file: it may be missing at the provider.

So memory holds one page, however long the statement is. A refund that failed has two lines, and so
has a dispute that was won; only the net counts. Lines of other systems on the same account are
counted and skipped. Records that change during the comparison are left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from cinesync.chassis.database import Database, Transaction, database_now
from cinesync.payment.gateways import LineKind, PaymentGateway, StatementLine
from cinesync.payment.model import RefundStatus
from cinesync.payment.reconciliation import statement_store
from cinesync.payment.reconciliation.statement_index import StatementIndex
from cinesync.payment.reconciliation.statement_store import Recorded
from cinesync.payment.refunds.model import DisputeStatus

TROUBLES_MAX: Final = 1_000
FIRST: Final = UUID(int=0)
REVERSALS: Final = frozenset({LineKind.REFUND_FAILED, LineKind.DISPUTE_REVERSED})
OF_REFUNDS: Final = frozenset({LineKind.REFUND, LineKind.REFUND_FAILED})
NOT_REFUNDED: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELLED})
NOT_WITHDRAWN: Final = frozenset(
    {DisputeStatus.WON, DisputeStatus.CLOSED, DisputeStatus.PREVENTED, DisputeStatus.INQUIRY}
)


@dataclass(slots=True)
class Reconciliation:
    """The result, in minor units by currency.

    `in_flight` are differences that undecided payments, refunds and disputes explain; nothing
    explains `troubles`. Both lists hold the first TROUBLES_MAX.
    """

    captured_cents: dict[str, int] = field(default_factory=dict)
    refunded_cents: dict[str, int] = field(default_factory=dict)
    in_flight: list[str] = field(default_factory=list)
    in_flight_count: int = 0
    troubles: list[str] = field(default_factory=list)
    trouble_count: int = 0
    foreign_count: int = 0

    def add_trouble(self, text: str) -> None:
        self.trouble_count += 1
        if len(self.troubles) < TROUBLES_MAX:
            self.troubles.append(text)

    def add_in_flight(self, text: str) -> None:
        self.in_flight_count += 1
        if len(self.in_flight) < TROUBLES_MAX:
            self.in_flight.append(text)

    def add_to_sums(self, line: StatementLine) -> None:
        sums = self.captured_cents if line.kind is LineKind.CAPTURE else self.refunded_cents
        if line.kind in OF_REFUNDS or line.kind is LineKind.CAPTURE:
            cents = -line.amount_cents if line.kind in REVERSALS else line.amount_cents
            sums[line.currency] = sums.get(line.currency, 0) + cents


@dataclass(frozen=True, slots=True)
class _Records:
    """What we recorded of a page of the statement."""

    captures: Mapping[str, Recorded]
    refunds: Mapping[str, Recorded]
    disputes: Mapping[str, Recorded]
    pending: frozenset[str]

    def of(self, line: StatementLine) -> Recorded | None:
        if line.kind is LineKind.CAPTURE:
            return self.captures.get(line.entry_id)
        if line.kind in OF_REFUNDS:
            return self.refunds.get(line.entry_id) or self.refunds.get(line.our_id)
        return self.disputes.get(line.entry_id)

    def is_foreign(self, line: StatementLine) -> bool:
        """Whether another system made it: it refers to nothing of ours."""
        reference = line.reference if line.kind is LineKind.CAPTURE else line.our_id
        return not reference and line.charge_id not in self.captures


async def reconcile(
    db: Database,
    gateway: PaymentGateway,
    report_progress: Callable[[int], None] = lambda _: None,
) -> Reconciliation:
    """Compares the provider's whole statement; reports how many lines it has read.

    Raises GatewayAway, GatewayRefused.
    """
    result = Reconciliation()
    begun_at = await db.read(database_now)
    after, line_count = "", 0
    with StatementIndex() as index:
        while True:
            lines, after = await gateway.statement(after)
            records = await db.read(_records_of, gateway.name, lines)
            for line in lines:
                _compare(line, records, index, result)
            line_count += len(lines)
            report_progress(line_count)
            if not after:
                break
        for text in index.unrecorded():
            result.add_trouble(f"{text} is not in our books")
        await _compare_captures(db, gateway.name, begun_at, index, result)
        await _compare_refunds(db, gateway.name, begun_at, index, result)
        await _compare_disputes(db, gateway.name, begun_at, index, result)
    return result


async def _records_of(tx: Transaction, provider: str, lines: Sequence[StatementLine]) -> _Records:
    refunds = [line for line in lines if line.kind in OF_REFUNDS]
    others = [line.entry_id for line in lines if line.kind not in OF_REFUNDS]
    return _Records(
        captures=await statement_store.captures_by_charge(
            tx, provider, [line.charge_id for line in lines]
        ),
        refunds=await statement_store.refunds_by_any_id(
            tx,
            provider,
            _uuids(line.our_id for line in refunds),
            [line.entry_id for line in refunds],
        )
        if refunds
        else {},
        disputes=await statement_store.disputes_by_provider_id(tx, provider, others),
        pending=await statement_store.pending_payments(
            tx, _uuids(line.reference for line in lines)
        ),
    )


def _uuids(texts: Iterable[str]) -> list[UUID]:
    """Those that are UUIDs: other systems refer to other things."""
    found: list[UUID] = []
    for text in texts:
        with suppress(ValueError):
            found.append(UUID(text))
    return found


def _compare(
    line: StatementLine, records: _Records, index: StatementIndex, result: Reconciliation
) -> None:
    recorded = records.of(line)
    if recorded is None and records.is_foreign(line):
        result.foreign_count += 1
        return
    result.add_to_sums(line)
    text = _text(line.kind, line.entry_id, line.reference, line.amount_cents, line.currency)
    if recorded is None:
        if line.reference in records.pending:
            result.add_in_flight(f"{text} is not in our books yet")
        else:
            index.add_unrecorded(line.entry_id, -1 if line.kind in REVERSALS else 1, text)
        return
    index.add(line.kind, recorded.entry_id)
    # A dispute takes the amount that the bank says, even more than is left of the payment.
    there, here = (line.amount_cents, line.currency), (recorded.amount_cents, recorded.currency)
    if there != here and line.kind not in REVERSALS:
        result.add_trouble(f"{text}, but our books say {recorded.amount_cents} {recorded.currency}")


def _text(kind: str, entry_id: str, payment_id: object, cents: int, currency: str) -> str:
    of = f" of payment {payment_id}" if payment_id else ""
    return f"{kind} {entry_id}{of}: {cents} {currency}"


async def _compare_captures(
    db: Database, provider: str, begun_at: datetime, index: StatementIndex, result: Reconciliation
) -> None:
    """Finds captures here that are missing there."""
    after = ""
    while rows := await db.read(statement_store.captures_page, provider, after, begun_at):
        there = index.with_line(LineKind.CAPTURE, [row.charge_id for row in rows])
        for row in rows:
            if row.charge_id not in there:
                text = _text(
                    "capture", row.charge_id, row.payment_id, row.amount_cents, row.currency
                )
                result.add_trouble(f"{text} is not on the provider's statement")
        after = rows[-1].charge_id


async def _compare_refunds(
    db: Database, provider: str, begun_at: datetime, index: StatementIndex, result: Reconciliation
) -> None:
    """Finds refunds whose state contradicts the statement. A lost dispute is a refund here."""
    after = FIRST
    while rows := await db.read(statement_store.refunds_page, provider, after, begun_at):
        refunded = _not_reversed(
            index, LineKind.REFUND, LineKind.REFUND_FAILED, [row.refund_id for row in rows]
        )
        lost = _not_reversed(
            index,
            LineKind.DISPUTE,
            LineKind.DISPUTE_REVERSED,
            [row.provider_refund_id for row in rows],
        )
        for row in rows:
            is_there = row.refund_id in refunded or row.provider_refund_id in lost
            text = _text("refund", row.refund_id, row.payment_id, row.amount_cents, row.currency)
            status = RefundStatus(row.status)
            if status is RefundStatus.DONE and not is_there:
                result.add_trouble(f"{text} is not on the provider's statement")
            elif status in NOT_REFUNDED and is_there:
                result.add_trouble(f"{text} is {status} here, but on the provider's statement")
            elif is_there and status is not RefundStatus.DONE:
                result.add_in_flight(f"{text} is {status} here")
        after = UUID(rows[-1].refund_id)


async def _compare_disputes(
    db: Database, provider: str, begun_at: datetime, index: StatementIndex, result: Reconciliation
) -> None:
    """Finds disputes whose state contradicts the statement."""
    after = FIRST
    while rows := await db.read(statement_store.disputes_page, provider, after, begun_at):
        ids = [row.provider_dispute_id for row in rows]
        withdrawn = _not_reversed(index, LineKind.DISPUTE, LineKind.DISPUTE_REVERSED, ids)
        for row in rows:
            text = _text(
                "dispute",
                row.provider_dispute_id,
                row.payment_id,
                row.amount_cents,
                row.currency,
            )
            status = DisputeStatus(row.status)
            if status in NOT_WITHDRAWN and row.provider_dispute_id in withdrawn:
                result.add_trouble(f"{text} is {status} here, but the provider has the money")
            elif status is DisputeStatus.OPEN:
                result.add_in_flight(f"{text} is open here")
        after = rows[-1].dispute_id


def _not_reversed(
    index: StatementIndex, kind: LineKind, reversal: LineKind, entry_ids: Sequence[str]
) -> set[str]:
    """Those with a line of `kind` and none of `reversal`."""
    return index.with_line(kind, entry_ids) - index.with_line(reversal, entry_ids)
