"""I4: payments, refunds, bookings and cancellations are in the ledger once each, with their facts.

The check reads the ledger first, into an index on disk, and then compares the databases with it
page by page. So an entry without a row is never a matter of timing. A row without an entry may be
on its way; then an outbox, the ledger service or a journal has it.

| A row has no entry in the chain, and | result |
|---|---|
| a journal has it in a decided block | recorded: validators apply it when they start |
| it is recent, and the shop is running | on its way |
| an outbox, a queue or the ledger service has it | not made: it can still arrive |
| nothing has it | a broken promise |
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Text, Uuid

from cinesync.audit.dead_letters import SET_URL
from cinesync.audit.entry_index import LAST, EntryIndex, EntryLocation, FoundEntry
from cinesync.audit.expected_entries import BY_NAME, KINDS, EntryKind, ExpectedEntry
from cinesync.audit.results import CheckOutcome, Failed, Findings, NotMade, ReportRowsRead
from cinesync.audit.sources import PAGE, AuditSources, pages
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, text
from cinesync.chassis.messaging.event import by_name, decode
from cinesync.contracts import CONSUMERS
from cinesync.ledger.store import submissions_of
from cinesync.proofs import entries
from cinesync.proofs.entries import LedgerEntry
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator.inspection.inspect import Altered
from cinesync.validator.inspection.log_reader import (
    LogRead,
    NoReadableReplica,
    decided_entries,
    read_log,
)
from cinesync.validator.storage.schema import OldFormat

BATCH_PAGE: Final = 500
EVENTS: Final = by_name(CONSUMERS)
RECORDED: Final = frozenset({EntryLocation.CHAIN, EntryLocation.JOURNAL})

UNSENT = text(
    "SELECT event_id, name, body FROM outbox WHERE sent_at IS NULL"
    " AND event_id > :after AND name = ANY(:names)"
    " ORDER BY event_id ASC LIMIT :limit",
    after=Uuid,
    names=ARRAY(Text),
    limit=BigInteger,
)
WAITING_BATCHES = text(
    "SELECT recorded_at, batch_id, event_ids FROM batches WHERE height IS NULL"
    " AND (recorded_at, batch_id) > (:at, :batch_id)"
    " ORDER BY recorded_at ASC, batch_id ASC LIMIT :limit",
    at=DateTime(timezone=True),
    batch_id=Uuid,
    limit=BigInteger,
)


class BatchKey(NamedTuple):
    """The key of batches, in the order in which the ledger service submits them."""

    recorded_at: datetime
    batch_id: UUID


class Comparison:
    """Compares expected entries with the entries found, subject by subject."""

    def __init__(self, *, young_since: datetime) -> None:
        self._young_since = young_since
        self.findings = Findings()
        self.lost = Findings()  # found nowhere; the broker may still have them
        self.young = 0
        self.held = 0
        self._places: set[EntryLocation] = set()
        self._oldest: datetime | None = None

    def compare(
        self,
        kind: EntryKind,
        expected: Sequence[ExpectedEntry],
        seen: Mapping[str, Sequence[FoundEntry]],
    ) -> None:
        """Compare a complete range of subjects."""
        known = set()
        for wanted in expected:
            known.add(str(wanted.subject))
            self._compare_one(kind, wanted, seen.get(str(wanted.subject), ()))
        for subject in seen.keys() - known:
            count = sum(one.place in RECORDED for one in seen[subject])
            if count:
                times = f"{kind.name} of {subject} is in the ledger {count} times"
                self.findings.add(f"{times}, but no database has a row for it")

    def _compare_one(
        self, kind: EntryKind, wanted: ExpectedEntry, seen: Sequence[FoundEntry]
    ) -> None:
        what = f"{kind.name} of {wanted.subject}"
        recorded = [one for one in seen if one.place is EntryLocation.CHAIN] or [
            one for one in seen if one.place is EntryLocation.JOURNAL
        ][:1]  # each validator has a journal
        if len(recorded) > 1:
            self.findings.add(f"{what} is in the ledger {len(recorded)} times")
        for one in recorded:
            if one.sentence != wanted.sentence:
                self.findings.add(
                    f"{what}: the ledger has {one.sentence}, the database has {wanted.sentence}"
                )
        if not recorded:
            self._add_missing(what, wanted, {one.place for one in seen})

    def _add_missing(self, what: str, wanted: ExpectedEntry, places: set[EntryLocation]) -> None:
        if wanted.happened_at > self._young_since:
            self.young += 1
        elif places:
            self.held += 1
            self._places |= places
            self._oldest = min(self._oldest or wanted.happened_at, wanted.happened_at)
        else:
            self.lost.add(f"{what} is not in the ledger, nor on its way there")

    @property
    def young_summary(self) -> str:
        return f"{self.young} entries are on their way" if self.young else ""

    @property
    def held_summary(self) -> str:
        if self._oldest is None:
            return ""
        where = " and ".join(sorted(self._places))
        return (
            f"{self.held} entries wait in {where}, the oldest since {self._oldest:%Y-%m-%d %H:%M}"
            " UTC: start the shop with its validators, and audit again"
        )


async def check(sources: AuditSources, progress: ReportRowsRead) -> CheckOutcome:
    """Compare rows and entries in both directions."""
    if sources.ledger is None:
        return NotMade("the validators are not on this machine; run it where one of them is")
    with tempfile.TemporaryDirectory(prefix="cinesync-audit-") as folder:
        try:
            with EntryIndex(Path(folder)) as index:
                return await _check(sources, sources.ledger, index, progress)
        except Altered as error:
            return Failed("no replica of the ledger is intact", (str(error),))
        except (NoReadableReplica, OldFormat, InvalidDocument, OSError) as error:
            return NotMade(f"the ledger in {sources.ledger} cannot be read: {error}")


async def _check(
    sources: AuditSources, folder: Path, index: EntryIndex, progress: ReportRowsRead
) -> CheckOutcome:
    log = await _load(sources, folder, index, progress)
    now = clock.now()
    young = timedelta(seconds=sources.overdue_seconds if sources.is_running else 0)
    compared = Comparison(young_since=now - young)
    compared.findings.extend(log.findings)
    read = log.entries
    for kind in KINDS:
        async for expected, seen in _ranges(sources, kind, index):
            compared.compare(kind, expected, seen)
            read += len(expected)
            progress(read)
    return await _outcome(sources, log, compared)


async def _outcome(sources: AuditSources, log: LogRead, compared: Comparison) -> CheckOutcome:
    """What was found nowhere is a broken promise, unless the broker may still have it."""
    reasons = [compared.held_summary] if compared.held else []
    if compared.lost.count:
        undelivered = await _undelivered(sources)
        if undelivered:
            reasons.append(f"{compared.lost.count} entries are missing, and {undelivered}")
        else:
            compared.findings.extend(compared.lost.found)
    if reasons and not compared.findings.count:
        return NotMade("; ".join(reasons))
    figures = {"entries": log.entries, "blocks": log.blocks, "waiting": compared.held}
    seen = f"{log.entries} entries in {log.blocks} blocks"
    return compared.findings.outcome(seen, on_its_way=compared.young_summary, figures=figures)


async def _load(
    sources: AuditSources, folder: Path, index: EntryIndex, progress: ReportRowsRead
) -> LogRead:
    """Index everything in the chain or on its way there.

    An entry moves from an outbox to the ledger service and on to the chain. Reading in this order
    finds it at least once.
    """
    count = 0

    def take(block: list[LedgerEntry]) -> None:
        nonlocal count
        index.add(EntryLocation.CHAIN, block)
        count += len(block)
        progress(count)

    for name in ("payment", "booking"):
        async for events in pages(sources.databases[name], _unsent, lambda row: row[0]):
            index.add(EntryLocation.OUTBOX, [entry_of_body(name, body) for _, name, body in events])
    async for waiting in _pending_submissions(sources):
        index.add(EntryLocation.SUBMITTER, waiting)
    index.add(EntryLocation.JOURNAL, await asyncio.to_thread(lambda: list(decided_entries(folder))))
    log = await asyncio.to_thread(read_log, folder, index.forget_chain, take)
    await asyncio.to_thread(index.sort)
    return log


def entry_of_body(name: str, body: bytes) -> LedgerEntry:
    """The entry that the ledger service will make of an event, with a salt of zeros."""
    return entries.entry_of(name, decode(EVENTS[name], body), bytes(entries.SALT_BYTES))


async def _unsent(tx: Transaction, after: UUID, limit: int) -> list[tuple[UUID, str, bytes]]:
    values = {"after": after, "names": sorted(BY_NAME), "limit": limit}
    return [(r.event_id, r.name, bytes(r.body)) for r in await tx.execute(UNSENT, values)]


async def _pending_submissions(sources: AuditSources) -> AsyncIterator[list[LedgerEntry]]:
    """The submissions that no block has yet."""
    ledger = sources.databases["ledger"]
    after = BatchKey(datetime.fromtimestamp(0, UTC), UUID(int=0))
    while batches := await ledger.read(_waiting_batches, after, BATCH_PAGE):
        after = batches[-1][0]
        event_ids = [event_id for _, ids in batches for event_id in ids]
        yield [entries.decode(one.entry) for one in await ledger.read(submissions_of, event_ids)]


async def _waiting_batches(
    tx: Transaction, after: BatchKey, limit: int
) -> list[tuple[BatchKey, Sequence[UUID]]]:
    values = {"at": after.recorded_at, "batch_id": after.batch_id, "limit": limit}
    rows = await tx.execute(WAITING_BATCHES, values)
    return [(BatchKey(row.recorded_at, row.batch_id), row.event_ids) for row in rows]


async def _ranges(
    sources: AuditSources, kind: EntryKind, index: EntryIndex
) -> AsyncIterator[tuple[list[ExpectedEntry], Mapping[str, Sequence[FoundEntry]]]]:
    """Pages of expected entries, each with all found entries in its range of subjects."""
    after = ""
    async for page in pages(
        sources.databases[kind.database], _expected_page, lambda one: one.subject, kind
    ):
        last = str(page[-1].subject)
        yield page, index.between(kind.name, after, last)
        after = last
    while rest := index.between(kind.name, after, LAST, limit=PAGE):
        yield [], rest
        after = max(rest)


async def _expected_page(
    tx: Transaction, after: UUID, limit: int, kind: EntryKind
) -> list[ExpectedEntry]:
    rows = await tx.execute(kind.rows, {"after": after, "limit": limit})
    return [kind.expected(row) for row in rows]


async def _undelivered(sources: AuditSources) -> str:
    """Why events may still reach the ledger service through the broker; empty when they cannot."""
    if sources.broker is None:
        return f"RabbitMQ may hold them: {SET_URL}" if sources.has_broker else ""
    queues = [queue for queue in sources.queues if queue.startswith("ledger.")]
    try:
        count = await sources.broker.undelivered(queues)
    except Exception as error:  # noqa: BLE001 any error means that the broker does not answer
        return f"RabbitMQ does not say what it holds ({error!r})"
    return f"{count} events wait in RabbitMQ for the ledger service" if count else ""
