"""Statements over submissions, batches, receipts and certificates; one question each."""

from collections.abc import Sequence
from uuid import UUID

from cinesync.chassis.database import Transaction, text
from cinesync.ledger.model import (
    SEQUENCES_RESERVED,
    Batch,
    CertifiedBlock,
    CommitmentOpening,
    CommittedSubmission,
    PendingSubmission,
    StoredProof,
    Submission,
)


async def insert_submissions(
    tx: Transaction, batch_id: UUID, submissions: Sequence[Submission]
) -> list[UUID]:
    """An event is submitted once, with one salt; those that were not before.

    What comes late of a customer who was erased is kept without salt and customer.
    """
    statement = text(
        "INSERT INTO submissions"
        " (event_id, kind, booking_id, customer_id, salt, entry, occurred_at, batch_id)"
        " SELECT t.event_id, t.kind, t.booking_id,"
        " CASE WHEN e.customer_id IS NULL THEN t.customer_id END,"
        " CASE WHEN e.customer_id IS NULL THEN t.salt END, t.entry, t.occurred_at,"
        " CAST(:batch_id AS uuid) FROM unnest(CAST(:event_ids AS uuid[]), CAST(:kinds AS text[]),"
        " CAST(:booking_ids AS uuid[]), CAST(:customer_ids AS uuid[]), CAST(:salts AS bytea[]),"
        " CAST(:entries AS bytea[]), CAST(:times AS timestamptz[]))"
        " AS t(event_id, kind, booking_id, customer_id, salt, entry, occurred_at)"
        " LEFT JOIN erased_customers AS e ON e.customer_id = t.customer_id"
        " ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
    )
    values = {
        "batch_id": batch_id,
        "event_ids": [one.event_id for one in submissions],
        "kinds": [one.kind for one in submissions],
        "booking_ids": [one.booking_id for one in submissions],
        "customer_ids": [one.customer_id for one in submissions],
        "salts": [one.salt for one in submissions],
        "entries": [one.entry for one in submissions],
        "times": [one.occurred_at for one in submissions],
    }
    return (await tx.execute(statement, values)).scalars()


async def insert_batch(tx: Transaction, batch: Batch) -> None:
    statement = text(
        "INSERT INTO batches (batch_id, event_ids)"
        " VALUES (CAST(:batch_id AS uuid), CAST(:event_ids AS uuid[]))"
    )
    await tx.execute(statement, {"batch_id": batch.batch_id, "event_ids": batch.event_ids})


async def waiting_batches(tx: Transaction, limit: int) -> list[Batch]:
    """The oldest ones."""
    statement = text(
        "SELECT batch_id, event_ids FROM batches WHERE height IS NULL"
        " ORDER BY recorded_at ASC, batch_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"limit": limit})
    return [Batch(batch_id=row.batch_id, event_ids=row.event_ids) for row in rows]


async def submissions(tx: Transaction, event_ids: Sequence[UUID]) -> list[PendingSubmission]:
    """These, in any order."""
    statement = text(
        "SELECT event_id, batch_id, kind, booking_id, entry FROM submissions"
        " WHERE event_id = ANY(CAST(:event_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"event_ids": event_ids})
    return [PendingSubmission(*row) for row in rows]


async def count_waiting(tx: Transaction) -> int:
    statement = text(
        "SELECT CAST(COALESCE(sum(cardinality(event_ids)), 0) AS bigint) AS waiting"
        " FROM batches WHERE height IS NULL"
    )
    return int((await tx.execute(statement)).one().waiting)


async def is_recorded(tx: Transaction, event_id: UUID) -> bool:
    statement = text("SELECT kind FROM submissions WHERE event_id = CAST(:event_id AS uuid)")
    return (await tx.execute(statement, {"event_id": event_id})).first() is not None


async def mark_final(tx: Transaction, batch_ids: Sequence[UUID], height: int) -> set[UUID]:
    """Note which block proves them; those that were not final before."""
    statement = text(
        "UPDATE batches SET height = CAST(:height AS bigint)"
        " WHERE batch_id = ANY(CAST(:batch_ids AS uuid[])) AND height IS NULL RETURNING batch_id"
    )
    rows = await tx.execute(statement, {"height": height, "batch_ids": sorted(batch_ids)})
    return {row.batch_id for row in rows}


async def insert_receipts(
    tx: Transaction, recorded: Sequence[CommittedSubmission], height: int
) -> None:
    """Whole, of what was in the log before the block that proves it."""
    statement = text(
        "INSERT INTO receipts (event_id, booking_id, height, log_index, receipt)"
        " SELECT t.event_id, t.booking_id, CAST(:height AS bigint), t.log_index, t.receipt"
        " FROM unnest(CAST(:event_ids AS uuid[]), CAST(:booking_ids AS uuid[]),"
        " CAST(:indices AS bigint[]), CAST(:receipts AS text[]))"
        " AS t(event_id, booking_id, log_index, receipt)"
        " ON CONFLICT (event_id) DO NOTHING"
    )
    await tx.execute(
        statement,
        {
            "event_ids": [one.event_id for one in recorded],
            "booking_ids": [one.booking_id for one in recorded],
            "height": height,
            "indices": [one.index for one in recorded],
            "receipts": [one.receipt for one in recorded],
        },
    )


async def insert_certificate(tx: Transaction, sealed: CertifiedBlock) -> None:
    """Any quorum is as good as another: the first one stays."""
    statement = text(
        "INSERT INTO certificates (height, header, certificate, peaks, leaves)"
        " VALUES (CAST(:height AS bigint), CAST(:header AS text), CAST(:certificate AS text),"
        " CAST(:peaks AS bytea), CAST(:leaves AS bytea))"
        " ON CONFLICT (height) DO NOTHING"
    )
    values = {
        "height": sealed.height,
        "header": sealed.header,
        "certificate": sealed.certificate,
        "peaks": sealed.peaks,
        "leaves": sealed.leaves,
    }
    await tx.execute(statement, values)


async def certificate(tx: Transaction, height: int) -> str | None:
    statement = text("SELECT certificate FROM certificates WHERE height = CAST(:height AS bigint)")
    row = (await tx.execute(statement, {"height": height})).first()
    return row.certificate if row else None


async def kept(tx: Transaction, event_id: UUID) -> StoredProof | None:
    """What there is of an event that is in the chain."""
    statement = text(
        "SELECT s.entry, r.receipt, c.height, c.header, c.certificate, c.peaks, c.leaves"
        " FROM submissions AS s JOIN batches AS b ON b.batch_id = s.batch_id"
        " LEFT JOIN receipts AS r ON r.event_id = s.event_id"
        " LEFT JOIN certificates AS c ON c.height = b.height AND c.leaves IS NOT NULL"
        " WHERE s.event_id = CAST(:event_id AS uuid) AND b.height IS NOT NULL"
    )
    row = (await tx.execute(statement, {"event_id": event_id})).first()
    if row is None:
        return None
    sealed = row.height is not None and CertifiedBlock(
        height=row.height,
        header=row.header,
        certificate=row.certificate,
        peaks=bytes(row.peaks),
        leaves=bytes(row.leaves),
    )
    return StoredProof(entry=bytes(row.entry), receipt=row.receipt, sealed=sealed or None)


async def openings_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> list[CommitmentOpening]:
    """A customer's entries with what opens their commitments, by id."""
    statement = text(
        "SELECT event_id, kind, booking_id, occurred_at, salt FROM submissions"
        " WHERE customer_id = CAST(:customer_id AS uuid) AND event_id > CAST(:after AS uuid)"
        " ORDER BY event_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"customer_id": customer_id, "after": after, "limit": limit}
    return [CommitmentOpening(*row) for row in await tx.execute(statement, values)]


async def insert_erased(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """So that what comes late is known."""
    statement = text(
        "INSERT INTO erased_customers (customer_id)"
        " SELECT t.customer_id FROM unnest(CAST(:customer_ids AS uuid[])) AS t(customer_id)"
        " ON CONFLICT (customer_id) DO NOTHING"
    )
    await tx.execute(statement, {"customer_ids": sorted(set(customer_ids))})


async def forget_customers(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """Without their salt the commitments in the chain say nothing about anybody."""
    statement = text(
        "UPDATE submissions SET salt = NULL, customer_id = NULL"
        " WHERE customer_id = ANY(CAST(:customer_ids AS uuid[]))"
    )
    await tx.execute(statement, {"customer_ids": sorted(customer_ids)})


async def reserve_sequences(tx: Transaction, name: str) -> int:
    """The first of a range that nobody has used."""
    statement = text(
        "INSERT INTO writers (name, next_sequence)"
        " VALUES (CAST(:name AS text), CAST(:count AS bigint))"
        " ON CONFLICT (name) DO UPDATE SET next_sequence = writers.next_sequence"
        " + excluded.next_sequence RETURNING next_sequence"
    )
    values = {"name": name, "count": SEQUENCES_RESERVED}
    return int((await tx.execute(statement, values)).one().next_sequence)
