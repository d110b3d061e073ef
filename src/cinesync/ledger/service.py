"""Commands of the ledger: record events, mark them as committed, forget customers."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.ids import id_of
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.ledger import CommittedEntry, LedgerCommitted
from cinesync.ledger import store
from cinesync.ledger.model import (
    Batch,
    CertifiedBlock,
    CommittedSubmission,
    PendingSubmission,
    Submission,
    grouped,
)
from cinesync.proofs import entries
from cinesync.validator.state_machine import OPERATIONS_MAX

BATCHES_AT_ONCE_MAX: Final = 256


async def record(tx: Transaction, happened: Sequence[Any]) -> None:
    """Record events for the submitter, in batches that fit a request."""
    for at in range(0, len(happened), OPERATIONS_MAX):
        batch_id = clock.new_id()
        events = happened[at : at + OPERATIONS_MAX]
        salts = _salts(len(events))
        part = [_submission(event, salt) for event, salt in zip(events, salts, strict=True)]
        fresh = await store.insert_submissions(tx, batch_id, part)
        if fresh:
            await store.insert_batch(tx, Batch(batch_id=batch_id, event_ids=fresh))


async def pending(tx: Transaction, requests_max: int) -> list[list[PendingSubmission]]:
    """The oldest pending submissions, for at most `requests_max` requests."""
    batches = await store.pending_batches(tx, BATCHES_AT_ONCE_MAX)
    parts = grouped(batches, OPERATIONS_MAX)[:requests_max]
    event_ids = [event_id for part in parts for batch in part for event_id in batch.event_ids]
    found = {one.event_id: one for one in await store.submissions_of(tx, event_ids)}
    return [[found[e] for batch in part for e in batch.event_ids] for part in parts]


def _salts(count: int) -> list[bytes]:
    """With one system call."""
    size = entries.SALT_BYTES
    together = secrets.token_bytes(count * size)
    return [together[at : at + size] for at in range(0, len(together), size)]


def _submission(event: Any, salt: bytes) -> Submission:
    assert isinstance(event, Event)
    entry = entries.entry_of(event.name, event, salt)
    return Submission(
        event_id=event.event_id,
        kind=event.name,
        booking_id=id_of(entry.booking_id),
        customer_id=event.customer_id,  # type: ignore[attr-defined]  # every event here has one
        salt=salt,
        entry=entry.encode(),
        occurred_at=event.occurred_at,
    )


async def commit(
    tx: Transaction, committed: Sequence[CommittedSubmission], block: CertifiedBlock
) -> None:
    """Store what receipts are made of, and publish ledger.committed, once per submission."""
    fresh = await store.mark_committed(tx, list({one.batch_id for one in committed}), block.height)
    new = [one for one in committed if one.batch_id in fresh]
    if not new:
        return
    await store.insert_certificate(tx, block)
    if whole := [one for one in new if one.receipt is not None]:
        await store.insert_receipts(tx, whole, block.height)
    await outbox.append(tx, [_committed_event(new, block.height)])


def _committed_event(new: Sequence[CommittedSubmission], height: int) -> LedgerCommitted:
    return LedgerCommitted(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        height=height,
        entries=[
            CommittedEntry(
                entry_event_id=one.event_id,
                kind=one.kind,
                booking_id=one.booking_id,
                index=one.index,
            )
            for one in new
        ],
    )


async def forget(tx: Transaction, erased: Sequence[CustomerErased]) -> None:
    """Delete the salts of customers. The chain does not change; its commitments stay closed."""
    customer_ids = [event.customer_id for event in erased]
    await store.insert_erased(tx, customer_ids)
    await store.forget_customers(tx, customer_ids)
