"""Commands of the ledger: note what goes into the chain, note that it is there, forget persons."""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.chassis import clock, outbox
from cinesync.chassis.db import Transaction
from cinesync.chassis.events import Event
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.ledger import CommittedEntry, LedgerCommitted
from cinesync.ledger import entries, store
from cinesync.ledger.model import Recorded, Sealed, Submission


async def record(tx: Transaction, happened: Sequence[Any]) -> None:
    """Keep events until the chain has them: nothing else waits for that."""
    await store.insert_submissions(tx, [_submission(event) for event in happened])


def _submission(event: Any) -> Submission:
    assert isinstance(event, Event)
    salt = secrets.token_bytes(entries.SALT_BYTES)
    entry = entries.entry_of(event.name, event, salt)
    return Submission(
        event_id=event.event_id,
        kind=event.name,
        booking_id=UUID(entry.booking_id),
        customer_id=event.customer_id,  # type: ignore[attr-defined]  # every event here has one
        salt=salt,
        entry=entry.encode(),
        occurred_at=event.occurred_at,
    )


async def finish(tx: Transaction, recorded: Sequence[Recorded], sealed: Sealed) -> None:
    """Keep what receipts are made of and tell the others, once."""
    fresh = await store.mark_final(tx, recorded)
    new = [one for one in recorded if one.event_id in fresh]
    if not new:
        return
    await store.insert_certificate(tx, sealed)
    if whole := [one for one in new if one.receipt is not None]:
        await store.insert_receipts(tx, whole)
    await outbox.append(tx, [_committed(new, sealed.height)])


def _committed(new: Sequence[Recorded], height: int) -> LedgerCommitted:
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
    await store.forget_customers(tx, [event.customer_id for event in erased])
