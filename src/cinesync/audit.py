"""`cinesync audit`: the promises recomputed from the databases and the bank's own statement."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cinesync.chassis import clock
from cinesync.chassis.db import Database, Transaction, text
from cinesync.ledger import inspection
from cinesync.payment.bookkeeping import Money, contradictions, money_by_payment, reconcile
from cinesync.payment.gateways import Gateway, GatewayAway

PAGE = 1000
FINDINGS_MAX = 50
LOOKS_MAX = 4
LOOK_PAUSE_SECONDS = 1.0
SETTLE_SECONDS_MAX = 60.0

# Each question finds what must not be there.
SEAT_QUESTIONS: Mapping[str, str] = {
    "sold to more than one booking": (
        "SELECT CAST(b.show_id AS text) || ' seat ' || (e.value ->> 'seat') AS subject"
        " FROM bookings b CROSS JOIN LATERAL jsonb_array_elements(b.seats) AS e(value)"
        " WHERE b.state = 'confirmed' GROUP BY b.show_id, e.value ->> 'seat' HAVING count(*) > 1"
        " LIMIT CAST(:limit AS bigint)"
    ),
    "sold, but not marked as booked for that booking": (
        "SELECT CAST(b.booking_id AS text) || ' seat ' || (e.value ->> 'seat') AS subject"
        " FROM bookings b CROSS JOIN LATERAL jsonb_array_elements(b.seats) AS e(value)"
        " WHERE b.state = 'confirmed' AND NOT EXISTS (SELECT 1 FROM booking_seats s"
        " WHERE s.region = b.region AND s.show_id = b.show_id AND s.seat = e.value ->> 'seat'"
        " AND s.booking_id = b.booking_id AND s.state = 'booked')"
        " LIMIT CAST(:limit AS bigint)"
    ),
    "marked as booked without a confirmed booking": (
        "SELECT CAST(s.show_id AS text) || ' seat ' || s.seat AS subject FROM booking_seats s"
        " WHERE s.state = 'booked' AND NOT EXISTS (SELECT 1 FROM bookings b"
        " WHERE b.region = s.region AND b.booking_id = s.booking_id AND b.state = 'confirmed')"
        " LIMIT CAST(:limit AS bigint)"
    ),
    "booked for another price than its seats add up to": (
        "SELECT CAST(b.booking_id AS text) AS subject FROM bookings b"
        " WHERE b.state = 'confirmed' AND b.total_cents <>"
        " (SELECT sum(CAST(e.value ->> 'price_cents' AS bigint))"
        " FROM jsonb_array_elements(b.seats) AS e(value))"
        " LIMIT CAST(:limit AS bigint)"
    ),
}


# What must be in the ledger, by the kind of its entry; asked of the payment or booking database.
PAYMENT_SUBJECTS: Mapping[str, str] = {
    "payment.success": (
        "SELECT CAST(payment_id AS text) AS subject FROM payments"
        " WHERE status IN ('success', 'partially_refunded', 'refunded')"
    ),
    "payment.refunded": (
        "SELECT CAST(refund_id AS text) AS subject FROM refunds WHERE status = 'done'"
    ),
}
BOOKING_SUBJECTS: Mapping[str, str] = {
    "booking.confirmed": (
        "SELECT CAST(booking_id AS text) AS subject FROM bookings"
        " WHERE state IN ('confirmed', 'cancelled')"
    ),
    "booking.cancelled": (
        "SELECT CAST(booking_id AS text) AS subject FROM bookings WHERE state = 'cancelled'"
    ),
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that must not be, under the promise that it breaks."""

    promise: str
    what: str


@dataclass(slots=True)
class Sums:
    """Money of one currency, in minor units."""

    captured_cents: int = 0
    booked_cents: int = 0
    refunded_cents: int = 0
    pending_cents: int = 0


@dataclass(slots=True)
class Report:
    """What an audit saw."""

    seats_booked: int = 0
    payments: int = 0
    sums: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    findings: set[Finding] = field(default_factory=set)
    bank: str = "not compared: the sandbox bank is not configured"
    ledger_entries: int | None = None
    missing_entries: int = 0

    @property
    def pending_cents(self) -> int:
        """Over all currencies: only whether it is zero means something."""
        return sum(sums.pending_cents for sums in self.sums.values())

    @property
    def is_settled(self) -> bool:
        """No money is on its way, and the ledger has everything."""
        return not self.pending_cents and not self.missing_entries


@dataclass(frozen=True, slots=True)
class Books:
    """Where to look."""

    booking: Database
    payment: Database
    others: Mapping[str, Database]
    gateway: Gateway | None
    ledger: Path | None


async def audit(books: Books, *, settled: bool, say: Callable[[str], None]) -> Report:
    """Recompute I1, I2 and I4. A shop that sells while we look is looked at again.

    What is reported was there in each of several looks: rows of two databases are never read at
    one moment. With `settled`, pending money must return to zero, and everything must be in the
    ledger, within a minute.
    """
    deadline = clock.monotonic_seconds() + SETTLE_SECONDS_MAX
    report = await _look(books)
    persistent = report.findings
    for _ in range(LOOKS_MAX - 1):
        if not persistent:
            break
        say("looking again at what seems wrong")
        await asyncio.sleep(LOOK_PAUSE_SECONDS)
        report = await _look(books)
        persistent &= report.findings
    while settled and not report.is_settled and clock.monotonic_seconds() < deadline:
        await asyncio.sleep(LOOK_PAUSE_SECONDS)
        report = await _look(books)
    report.findings = set(persistent)
    if settled and report.pending_cents:
        report.findings.add(Finding("I2", "money is still pending after a minute"))
    if settled and report.missing_entries:
        missing = f"{report.missing_entries} entries are still not in the ledger after a minute"
        report.findings.add(Finding("I4", missing))
    return report


async def _look(books: Books) -> Report:
    report = Report()
    await _check_seats(books.booking, report)
    await _check_money(books, report)
    await _check_bank(books, report)
    await _check_ledger(books, report)
    for name, db in {"booking": books.booking, "payment": books.payment, **books.others}.items():
        for line in await db.read(_dead_letters):
            report.findings.add(Finding("I3", f"{name}: {line}"))
    return report


async def _check_seats(booking: Database, report: Report) -> None:
    report.seats_booked = await booking.read(_booked_seats)
    for what, question in SEAT_QUESTIONS.items():
        for subject in await booking.read(_ask, question):
            report.findings.add(Finding("I1", f"{subject}: {what}"))


async def _check_money(books: Books, report: Report) -> None:
    """captured = booked + refunded + pending, payment by payment."""
    async for page in _money_pages(books.payment):
        booked = await books.booking.read(_booked_cents, [money.payment_id for money in page])
        for money in page:
            _weigh(money, booked.get(money.payment_id, 0), report)
    async for paid in _booked_pages(books.booking):
        known = await books.payment.read(_known_payments, paid)
        for payment_id in sorted(set(paid) - known):
            report.findings.add(Finding("I2", f"payment {payment_id} is booked but unknown"))
    for line in await books.payment.read(contradictions, FINDINGS_MAX):
        report.findings.add(Finding("I2", line))


def _weigh(money: Money, booked_cents: int, report: Report) -> None:
    sums = report.sums[money.currency]
    undecided_cents = money.kept_cents - booked_cents
    report.payments += 1
    sums.captured_cents += money.captured_cents
    sums.booked_cents += booked_cents
    sums.refunded_cents += money.refunded_cents
    sums.pending_cents += money.refund_pending_cents + undecided_cents
    if undecided_cents < 0:
        report.findings.add(
            Finding(
                "I2",
                f"payment {money.payment_id}: captured {money.captured_cents}, but"
                f" {booked_cents} booked, {money.refunded_cents} refunded and"
                f" {money.refund_pending_cents} being refunded",
            )
        )


async def _check_bank(books: Books, report: Report) -> None:
    if books.gateway is None:
        return
    try:
        compared = await reconcile(books.payment, books.gateway)
    except GatewayAway as error:
        report.bank = f"not compared: the bank does not answer ({error})"
        return
    report.bank = f"agrees, {len(compared.in_flight)} in flight"
    for trouble in compared.troubles:
        report.findings.add(Finding("I2", f"bank: {trouble}"))


async def _check_ledger(books: Books, report: Report) -> None:
    """Each payment, refund, booking and cancellation is in the ledger exactly once."""
    if books.ledger is None:
        return
    recorded = await asyncio.to_thread(inspection.subjects, books.ledger)
    report.ledger_entries = sum(counter.total() for counter in recorded.values())
    for db, questions in ((books.payment, PAYMENT_SUBJECTS), (books.booking, BOOKING_SUBJECTS)):
        for kind, question in questions.items():
            expected = set(await db.read(_subjects, question))
            report.missing_entries += len(expected - recorded[kind].keys())
            for subject, count in recorded[kind].items():
                if count > 1 or subject not in expected:
                    what = f"{kind} of {subject} is in the ledger {count} times"
                    known = "" if subject in expected else ", but our books do not know it"
                    report.findings.add(Finding("I4", what + known))


async def _subjects(tx: Transaction, question: str) -> list[str]:
    return [row.subject for row in await tx.execute(text(question))]


async def _money_pages(payment: Database) -> AsyncIterator[list[Money]]:
    after: UUID | None = None
    while page := await payment.read(money_by_payment, after, PAGE):
        yield page
        after = page[-1].payment_id


async def _booked_pages(booking: Database) -> AsyncIterator[list[UUID]]:
    after = UUID(int=0)
    while page := await booking.read(_paid_bookings, after):
        yield page
        after = page[-1]


async def _ask(tx: Transaction, question: str) -> list[str]:
    return [row.subject for row in await tx.execute(text(question), {"limit": FINDINGS_MAX})]


async def _booked_seats(tx: Transaction) -> int:
    statement = text("SELECT count(*) AS seats FROM booking_seats WHERE state = 'booked'")
    return int((await tx.execute(statement)).one().seats)


async def _booked_cents(tx: Transaction, payment_ids: Iterable[UUID]) -> dict[UUID, int]:
    """What bookings stand for, by payment: their total less what a cancellation gives back."""
    statement = text(
        "SELECT payment_id, sum(total_cents - refund_cents) AS booked_cents FROM bookings"
        " WHERE payment_id = ANY(CAST(:payment_ids AS uuid[]))"
        " AND state IN ('confirmed', 'cancelled') GROUP BY payment_id"
    )
    rows = await tx.execute(statement, {"payment_ids": list(payment_ids)})
    return {row.payment_id: int(row.booked_cents) for row in rows}


async def _paid_bookings(tx: Transaction, after: UUID) -> list[UUID]:
    statement = text(
        "SELECT payment_id FROM bookings WHERE payment_id > CAST(:after AS uuid)"
        " AND state IN ('confirmed', 'cancelled')"
        " ORDER BY payment_id ASC LIMIT CAST(:limit AS bigint)"
    )
    return [r.payment_id for r in await tx.execute(statement, {"after": after, "limit": PAGE})]


async def _known_payments(tx: Transaction, payment_ids: Iterable[UUID]) -> set[UUID]:
    statement = text(
        "SELECT payment_id FROM payments WHERE payment_id = ANY(CAST(:payment_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"payment_ids": list(payment_ids)})
    return {row.payment_id for row in rows}


async def _dead_letters(tx: Transaction) -> list[str]:
    statement = text(
        "SELECT queue, count(*) AS letters FROM dead_letters GROUP BY queue ORDER BY queue ASC"
    )
    return [
        f"{row.letters} dead letters of {row.queue} wait (cinesync queues dead)"
        for row in await tx.execute(statement)
    ]
