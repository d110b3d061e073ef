"""Commands of the ledger: note what goes into the chain, note that it is there, forget persons."""

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
    joined,
)
from cinesync.proofs import entries
from cinesync.validator.state_machine import OPERATIONS_MAX

BATCHES_AT_ONCE_MAX: Final = 256


async def record(tx: Transaction, happened: Sequence[Any]) -> None:
    """Keep events until the chain has them: nothing else waits for that."""
    for at in range(0, len(happened), OPERATIONS_MAX):
        batch_id = clock.new_id()
        events = happened[at : at + OPERATIONS_MAX]
        salts = _salts(len(events))
        part = [_submission(event, salt) for event, salt in zip(events, salts, strict=True)]
        fresh = await store.insert_submissions(tx, batch_id, part)
        if fresh:
            await store.insert_batch(tx, Batch(batch_id=batch_id, event_ids=fresh))


async def waiting(tx: Transaction, requests_max: int) -> list[list[PendingSubmission]]:
    """The oldest, as many as fit into so many requests, by request."""
    batches = await store.waiting_batches(tx, BATCHES_AT_ONCE_MAX)
    parts = joined(batches, OPERATIONS_MAX)[:requests_max]
    event_ids = [event_id for part in parts for batch in part for event_id in batch.event_ids]
    found = {one.event_id: one for one in await store.submissions(tx, event_ids)}
    return [[found[e] for batch in part for e in batch.event_ids] for part in parts]


def _salts(count: int) -> list[bytes]:
    """The operating system is asked once."""
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


async def finish(
    tx: Transaction, recorded: Sequence[CommittedSubmission], sealed: CertifiedBlock
) -> None:
    """Keep what receipts are made of and tell the others, once."""
    fresh = await store.mark_final(tx, list({one.batch_id for one in recorded}), sealed.height)
    new = [one for one in recorded if one.batch_id in fresh]
    if not new:
        return
    await store.insert_certificate(tx, sealed)
    if whole := [one for one in new if one.receipt is not None]:
        await store.insert_receipts(tx, whole, sealed.height)
    await outbox.append(tx, [_committed(new, sealed.height)])


def _committed(new: Sequence[CommittedSubmission], height: int) -> LedgerCommitted:
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
    """The chain stays as it is and still verifies; nobody can tell any more who it was."""
    customer_ids = [event.customer_id for event in erased]
    await store.insert_erased(tx, customer_ids)
    await store.forget_customers(tx, customer_ids)
