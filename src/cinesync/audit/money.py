"""I2: captured = booked + refunded + pending, for each payment."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid

from cinesync.audit.results import FINDINGS_MAX, CheckOutcome, Findings, ReportRowsRead
from cinesync.audit.sources import AuditSources, pages
from cinesync.chassis.database import Transaction, text
from cinesync.payment.reconciliation.audit_store import (
    PaymentTotals,
    contradictions,
    money_by_payment,
)

BOOKED_FOR = text(
    "SELECT booking_id, payment_id, currency, total_cents - refund_cents AS cents"
    " FROM bookings WHERE booking_id = ANY(:booking_ids)"
    " AND state IN ('confirmed', 'cancelled') AND payment_id IS NOT NULL",
    booking_ids=ARRAY(Uuid),
)
PAID_BOOKINGS = text(
    "SELECT booking_id, payment_id, currency, total_cents - refund_cents AS cents"
    " FROM bookings WHERE booking_id > :after"
    " AND state IN ('confirmed', 'cancelled') AND payment_id IS NOT NULL"
    " ORDER BY booking_id ASC LIMIT :limit",
    after=Uuid,
    limit=BigInteger,
)
HOLDS_OF = text(
    "SELECT payment_id, hold_id FROM payments WHERE payment_id = ANY(:payment_ids)",
    payment_ids=ARRAY(Uuid),
)


@dataclass(slots=True)
class Sums:
    """Money of one currency, in minor units."""

    captured_cents: int = 0
    booked_cents: int = 0
    refunded_cents: int = 0
    pending_cents: int = 0

    def __str__(self) -> str:
        return (
            f"captured {self.captured_cents} = booked {self.booked_cents}"
            f" + refunded {self.refunded_cents} + pending {self.pending_cents}"
        )


@dataclass(frozen=True, slots=True)
class Booked:
    """The money of a booking: its total less what was refunded."""

    booking_id: UUID
    payment_id: UUID
    currency: str
    cents: int


async def check(sources: AuditSources, progress: ReportRowsRead) -> CheckOutcome:
    """No payment is booked or refunded for more than was captured; every booking has a payment."""
    findings, sums, read = Findings(), defaultdict[str, Sums](Sums), 0
    after = UUID(int=0)
    async for page in pages(sources.payment, money_by_payment, lambda one: one.payment_id):
        booked = await sources.booking.read(_booked_for, [one.hold_id for one in page])
        for one in page:
            _add_up(one, booked.get(one.payment_id), sums[one.currency], findings)
        last = page[-1].payment_id
        findings.extend(await sources.payment.read(contradictions, FINDINGS_MAX, after, last))
        after = last
        read += len(page)
        progress(read)
    await _check_bookings(sources, findings, lambda count: progress(read + count))
    lines = [f"{currency}: {one}" for currency, one in sorted(sums.items())]
    pending = [f"{one.pending_cents} {cur}" for cur, one in sums.items() if one.pending_cents]
    figures = {"payments": read, "sums": {currency: asdict(one) for currency, one in sums.items()}}
    return findings.outcome(
        "; ".join([f"{read} payments", *lines]),
        on_its_way=f"money is pending: {', '.join(pending)}" if pending else "",
        figures=figures,
    )


def _add_up(money: PaymentTotals, booked: Booked | None, sums: Sums, findings: Findings) -> None:
    booked_cents = booked.cents if booked else 0
    undecided_cents = money.retained_cents - booked_cents
    sums.captured_cents += money.captured_cents
    sums.booked_cents += booked_cents
    sums.refunded_cents += money.refunded_cents
    sums.pending_cents += money.refund_pending_cents + undecided_cents
    if undecided_cents < 0:
        findings.add(
            f"payment {money.payment_id}: captured {money.captured_cents}, but"
            f" {booked_cents} booked, {money.refunded_cents} refunded and"
            f" {money.refund_pending_cents} being refunded"
        )
    if booked is not None and booked.currency != money.currency:
        findings.add(
            f"payment {money.payment_id} is in {money.currency},"
            f" but its booking {booked.booking_id} in {booked.currency}"
        )


async def _check_bookings(
    sources: AuditSources, findings: Findings, progress: ReportRowsRead
) -> None:
    """Every paid booking has a payment that exists and was made for it."""
    read = 0
    async for page in pages(sources.booking, _paid_bookings, lambda one: one.booking_id):
        holds = await sources.payment.read(_holds_of, [one.payment_id for one in page])
        for one in page:
            hold_id = holds.get(one.payment_id)
            if hold_id is None:
                findings.add(f"payment {one.payment_id} is booked but unknown")
            elif hold_id != one.booking_id:
                findings.add(
                    f"payment {one.payment_id} was made for hold {hold_id}, but is that of"
                    f" booking {one.booking_id}"
                )
        read += len(page)
        progress(read)


async def _booked_for(tx: Transaction, booking_ids: Sequence[UUID]) -> dict[UUID, Booked]:
    """By payment. A booking has the id of the hold that was paid for."""
    rows = await tx.execute(BOOKED_FOR, {"booking_ids": list(booking_ids)})
    return {row.payment_id: Booked(*row) for row in rows}


async def _paid_bookings(tx: Transaction, after: UUID, limit: int) -> list[Booked]:
    rows = await tx.execute(PAID_BOOKINGS, {"after": after, "limit": limit})
    return [Booked(*row) for row in rows]


async def _holds_of(tx: Transaction, payment_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    rows = await tx.execute(HOLDS_OF, {"payment_ids": list(payment_ids)})
    return {row.payment_id: row.hold_id for row in rows}
