"""Statements over submissions, batches, receipts and certificates; one question each."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from cinesync.chassis.database import Transaction, any_of, batch, compiled, insert_from, text
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
from cinesync.ledger.tables import (
    batches,
    certificates,
    erased_customers,
    receipts,
    submissions,
    writers,
)

SUBMITTED = batch(
    "submitted",
    submissions.c.event_id,
    submissions.c.kind,
    submissions.c.booking_id,
    submissions.c.customer_id,
    submissions.c.salt,
    submissions.c.entry,
    submissions.c.occurred_at,
)
INSERT_SUBMISSIONS = text(
    "INSERT INTO submissions"
    " (event_id, kind, booking_id, customer_id, salt, entry, occurred_at, batch_id)"
    " SELECT submitted.event_id, submitted.kind, submitted.booking_id,"
    " CASE WHEN e.customer_id IS NULL THEN submitted.customer_id END,"
    " CASE WHEN e.customer_id IS NULL THEN submitted.salt END,"
    " submitted.entry, submitted.occurred_at, :batch_id"
    " FROM :submitted LEFT JOIN erased_customers AS e ON e.customer_id = submitted.customer_id"
    " ON CONFLICT (event_id) DO NOTHING RETURNING event_id",
    submissions,
    SUBMITTED,
)
INSERT_BATCH = compiled(
    insert(batches).values(batch_id=bindparam("batch_id"), event_ids=bindparam("event_ids"))
)
PENDING_BATCHES = compiled(
    select(batches.c.batch_id, batches.c.event_ids)
    .where(batches.c.height.is_(None))
    .order_by(batches.c.recorded_at.asc(), batches.c.batch_id.asc())
    .limit(bindparam("limit", type_=BigInteger))
)
SUBMISSIONS = compiled(
    select(
        submissions.c.event_id,
        submissions.c.batch_id,
        submissions.c.kind,
        submissions.c.booking_id,
        submissions.c.entry,
    ).where(any_of(submissions.c.event_id, "event_ids"))
)
COUNT_PENDING = text(
    "SELECT CAST(COALESCE(sum(cardinality(event_ids)), 0) AS bigint)"
    " FROM batches WHERE height IS NULL"
)
OLDEST_PENDING_SECONDS = text(
    "SELECT CAST(COALESCE(EXTRACT(EPOCH FROM now() - min(recorded_at)), 0) AS double precision)"
    " FROM batches WHERE height IS NULL"
)
IS_SUBMITTED = compiled(
    select(submissions.c.kind).where(submissions.c.event_id == bindparam("event_id"))
)
MARK_COMMITTED = compiled(
    update(batches)
    .values(height=bindparam("height"))
    .where(any_of(batches.c.batch_id, "batch_ids"), batches.c.height.is_(None))
    .returning(batches.c.batch_id)
)
WHOLE_RECEIPTS = batch(
    "committed",
    receipts.c.event_id,
    receipts.c.booking_id,
    receipts.c.log_index,
    receipts.c.receipt,
)
INSERT_RECEIPTS = compiled(
    insert_from(receipts, WHOLE_RECEIPTS, height=bindparam("height")).on_conflict_do_nothing(
        index_elements=[receipts.c.event_id]
    )
)
INSERT_CERTIFICATE = compiled(
    insert(certificates)
    .values({name: bindparam(name) for name in certificates.c.keys()})  # noqa: SIM118 no dict
    .on_conflict_do_nothing(index_elements=[certificates.c.height])
)
CERTIFICATE = compiled(
    select(certificates.c.certificate).where(certificates.c.height == bindparam("height"))
)
STORED_PROOF = text(
    "SELECT s.entry, r.receipt, c.height, c.header, c.certificate, c.peaks, c.leaves"
    " FROM submissions AS s JOIN batches AS b ON b.batch_id = s.batch_id"
    " LEFT JOIN receipts AS r ON r.event_id = s.event_id"
    " LEFT JOIN certificates AS c ON c.height = b.height AND c.leaves IS NOT NULL"
    " WHERE s.event_id = :event_id AND b.height IS NOT NULL",
    submissions,
)
OPENINGS = compiled(
    select(
        submissions.c.event_id,
        submissions.c.kind,
        submissions.c.booking_id,
        submissions.c.occurred_at,
        submissions.c.salt,
    )
    .where(
        submissions.c.customer_id == bindparam("customer_id"),
        submissions.c.event_id > bindparam("after"),
    )
    .order_by(submissions.c.event_id.asc())
    .limit(bindparam("limit", type_=BigInteger))
)
ERASED = batch("erased", erased_customers.c.customer_id)
INSERT_ERASED = compiled(
    insert_from(erased_customers, ERASED).on_conflict_do_nothing(
        index_elements=[erased_customers.c.customer_id]
    )
)
FORGET_CUSTOMERS = compiled(
    update(submissions)
    .values(salt=None, customer_id=None)
    .where(any_of(submissions.c.customer_id, "customer_ids"))
)
RESERVE_SEQUENCES = text(
    "INSERT INTO writers (name, next_sequence) VALUES (:name, :next_sequence)"
    " ON CONFLICT (name) DO UPDATE"
    " SET next_sequence = writers.next_sequence + excluded.next_sequence RETURNING next_sequence",
    writers,
)


async def insert_submissions(
    tx: Transaction, batch_id: UUID, submitted: Sequence[Submission]
) -> list[UUID]:
    """Insert submissions without those that are here; the ids of the new ones.

    Late events of an erased customer go in without salt and customer.
    """
    values = {"batch_id": batch_id, "submitted": submitted}
    return (await tx.execute(INSERT_SUBMISSIONS, values)).scalars()


async def insert_batch(tx: Transaction, batch: Batch) -> None:
    values = {"batch_id": batch.batch_id, "event_ids": batch.event_ids}
    await tx.execute(INSERT_BATCH, values)


async def pending_batches(tx: Transaction, limit: int) -> list[Batch]:
    """The oldest batches without a block."""
    rows = await tx.execute(PENDING_BATCHES, {"limit": limit})
    return [Batch(batch_id=row.batch_id, event_ids=row.event_ids) for row in rows]


async def submissions_of(tx: Transaction, event_ids: Sequence[UUID]) -> list[PendingSubmission]:
    """The submissions of these events, in any order."""
    return [
        PendingSubmission(*row) for row in await tx.execute(SUBMISSIONS, {"event_ids": event_ids})
    ]


async def count_pending(tx: Transaction) -> int:
    return int((await tx.execute(COUNT_PENDING)).scalar_one())


async def oldest_pending_seconds(tx: Transaction) -> float:
    """The age of the oldest batch without a block; 0 if there is none."""
    return max(float((await tx.execute(OLDEST_PENDING_SECONDS)).scalar_one()), 0.0)


async def is_submitted(tx: Transaction, event_id: UUID) -> bool:
    return (await tx.execute(IS_SUBMITTED, {"event_id": event_id})).first() is not None


async def mark_committed(tx: Transaction, batch_ids: Sequence[UUID], height: int) -> set[UUID]:
    """Set the height of the block that proves these batches; the ids of those that had none."""
    values = {"height": height, "batch_ids": sorted(batch_ids)}
    return set((await tx.execute(MARK_COMMITTED, values)).scalars())


async def insert_receipts(
    tx: Transaction, committed: Sequence[CommittedSubmission], height: int
) -> None:
    """Store whole receipts, of entries that an earlier block than the one at `height` has."""
    rows = [(one.event_id, one.booking_id, one.index, one.receipt) for one in committed]
    await tx.execute(INSERT_RECEIPTS, {"committed": rows, "height": height})


async def insert_certificate(tx: Transaction, block: CertifiedBlock) -> None:
    """Store a block's proof, unless there is one: any quorum's certificate is as good."""
    values = {name: getattr(block, name) for name in certificates.c.keys()}  # noqa: SIM118 no dict
    await tx.execute(INSERT_CERTIFICATE, values)


async def certificate(tx: Transaction, height: int) -> str | None:
    found: str | None = (await tx.execute(CERTIFICATE, {"height": height})).scalar()
    return found


async def stored_proof(tx: Transaction, event_id: UUID) -> StoredProof | None:
    """What proves an event's entry; None while no block has it."""
    row = (await tx.execute(STORED_PROOF, {"event_id": event_id})).first()
    if row is None:
        return None
    block = row.height is not None and CertifiedBlock(
        height=row.height,
        header=row.header,
        certificate=row.certificate,
        peaks=bytes(row.peaks),
        leaves=bytes(row.leaves),
    )
    return StoredProof(entry=bytes(row.entry), receipt=row.receipt, block=block or None)


async def openings_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> list[CommitmentOpening]:
    """A page of a customer's entries with their salts, by event id."""
    values = {"customer_id": customer_id, "after": after, "limit": limit}
    return [CommitmentOpening(*row) for row in await tx.execute(OPENINGS, values)]


async def insert_erased(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """Note erased customers, for events that arrive later."""
    await tx.execute(INSERT_ERASED, {"erased": [(one,) for one in sorted(set(customer_ids))]})


async def forget_customers(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """Delete customers and salts: without its salt a commitment in the chain says nothing."""
    await tx.execute(FORGET_CUSTOMERS, {"customer_ids": sorted(customer_ids)})


async def reserve_sequences(tx: Transaction, name: str) -> int:
    """The first of SEQUENCES_RESERVED sequences that nobody has used."""
    values = {"name": name, "next_sequence": SEQUENCES_RESERVED}
    return int((await tx.execute(RESERVE_SEQUENCES, values)).scalar_one())
