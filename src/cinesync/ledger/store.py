"""Statements over submissions, receipts and certificates; one question each."""

from collections.abc import Sequence
from uuid import UUID

from cinesync.chassis.db import Transaction, text
from cinesync.ledger.model import (
    SEQUENCES_RESERVED,
    Kept,
    Recorded,
    Sealed,
    Submission,
    Waiting,
)


async def insert_submissions(tx: Transaction, submissions: Sequence[Submission]) -> None:
    """An event is submitted once, with one salt."""
    statement = text(
        "INSERT INTO submissions"
        " (event_id, kind, booking_id, customer_id, salt, entry, state, occurred_at)"
        " SELECT t.event_id, t.kind, t.booking_id, t.customer_id, t.salt, t.entry, 'waiting',"
        " t.occurred_at FROM unnest(CAST(:event_ids AS uuid[]), CAST(:kinds AS text[]),"
        " CAST(:booking_ids AS uuid[]), CAST(:customer_ids AS uuid[]), CAST(:salts AS bytea[]),"
        " CAST(:entries AS bytea[]), CAST(:times AS timestamptz[]))"
        " AS t(event_id, kind, booking_id, customer_id, salt, entry, occurred_at)"
        " ON CONFLICT (event_id) DO NOTHING"
    )
    await tx.execute(
        statement,
        {
            "event_ids": [one.event_id for one in submissions],
            "kinds": [one.kind for one in submissions],
            "booking_ids": [one.booking_id for one in submissions],
            "customer_ids": [one.customer_id for one in submissions],
            "salts": [one.salt for one in submissions],
            "entries": [one.entry for one in submissions],
            "times": [one.occurred_at for one in submissions],
        },
    )


async def waiting(tx: Transaction, limit: int) -> list[Waiting]:
    """The oldest ones."""
    statement = text(
        "SELECT event_id, kind, booking_id, entry FROM submissions WHERE state = 'waiting'"
        " ORDER BY occurred_at ASC, event_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"limit": limit})
    return [
        Waiting(
            event_id=row.event_id,
            kind=row.kind,
            booking_id=row.booking_id,
            entry=bytes(row.entry),
        )
        for row in rows
    ]


async def count_waiting(tx: Transaction) -> int:
    statement = text("SELECT count(*) AS waiting FROM submissions WHERE state = 'waiting'")
    return int((await tx.execute(statement)).one().waiting)


async def state_of(tx: Transaction, event_id: UUID) -> str | None:
    statement = text("SELECT state FROM submissions WHERE event_id = CAST(:event_id AS uuid)")
    row = (await tx.execute(statement, {"event_id": event_id})).first()
    return row.state if row else None


async def mark_final(tx: Transaction, recorded: Sequence[Recorded]) -> set[UUID]:
    """Note where they are; those that were not final before."""
    statement = text(
        "UPDATE submissions SET state = 'final', height = t.height, log_index = t.log_index"
        " FROM unnest(CAST(:event_ids AS uuid[]), CAST(:heights AS bigint[]),"
        " CAST(:indices AS bigint[])) AS t(event_id, height, log_index)"
        " WHERE submissions.event_id = t.event_id AND submissions.state = 'waiting'"
        " RETURNING submissions.event_id"
    )
    ordered = sorted(recorded, key=lambda one: one.event_id)
    values = {
        "event_ids": [one.event_id for one in ordered],
        "heights": [one.height for one in ordered],
        "indices": [one.index for one in ordered],
    }
    rows = await tx.execute(statement, values)
    return {row.event_id for row in rows}


async def insert_receipts(tx: Transaction, recorded: Sequence[Recorded]) -> None:
    """Whole, of what was in the log before the block that proves it."""
    statement = text(
        "INSERT INTO receipts (event_id, booking_id, height, log_index, receipt)"
        " SELECT t.event_id, t.booking_id, t.height, t.log_index, t.receipt"
        " FROM unnest(CAST(:event_ids AS uuid[]), CAST(:booking_ids AS uuid[]),"
        " CAST(:heights AS bigint[]), CAST(:indices AS bigint[]), CAST(:receipts AS text[]))"
        " AS t(event_id, booking_id, height, log_index, receipt)"
        " ON CONFLICT (event_id) DO NOTHING"
    )
    await tx.execute(
        statement,
        {
            "event_ids": [one.event_id for one in recorded],
            "booking_ids": [one.booking_id for one in recorded],
            "heights": [one.height for one in recorded],
            "indices": [one.index for one in recorded],
            "receipts": [one.receipt for one in recorded],
        },
    )


async def insert_certificate(tx: Transaction, sealed: Sealed) -> None:
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


async def kept(tx: Transaction, event_id: UUID) -> Kept | None:
    """What there is of an event that is in the chain."""
    statement = text(
        "SELECT s.entry, s.log_index, r.receipt, c.height, c.header, c.certificate, c.peaks,"
        " c.leaves FROM submissions AS s LEFT JOIN receipts AS r ON r.event_id = s.event_id"
        " LEFT JOIN certificates AS c ON c.height = s.height AND c.leaves IS NOT NULL"
        " WHERE s.event_id = CAST(:event_id AS uuid) AND s.state = 'final'"
    )
    row = (await tx.execute(statement, {"event_id": event_id})).first()
    if row is None:
        return None
    sealed = row.height is not None and Sealed(
        height=row.height,
        header=row.header,
        certificate=row.certificate,
        peaks=bytes(row.peaks),
        leaves=bytes(row.leaves),
    )
    return Kept(
        entry=bytes(row.entry), index=row.log_index, receipt=row.receipt, sealed=sealed or None
    )


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
