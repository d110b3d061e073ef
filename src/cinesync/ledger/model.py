"""What waits for the chain, what is in it, and what can go wrong for who asks: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from cinesync.chassis.problems import Problem, Unavailable

SEQUENCES_RESERVED: Final = 2**32


class LedgerError(Problem):
    """The ledger cannot answer that."""


class NoReceipt(LedgerError):
    """There is no receipt for this event."""

    status = 404


class NoReceiptYet(LedgerError):
    """This event is on its way into the ledger; its receipt comes within moments."""

    status = 404


class UnknownBlock(LedgerError):
    """The chain has no such block yet."""

    status = 404


class NotThatLarge(LedgerError):
    """The log is not that large."""

    status = 422


class ValidatorsAway(Unavailable):
    """Too few validators answer right now; what is written waits for them."""


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as it goes into the chain. With its salt goes the way back to the person."""

    event_id: UUID
    kind: str
    booking_id: UUID
    customer_id: UUID
    salt: bytes
    entry: bytes
    occurred_at: datetime


class Batch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Submissions that were recorded together; the chain has all of them or none."""

    batch_id: UUID
    event_ids: Sequence[UUID]


class PendingSubmission(msgspec.Struct, frozen=True, gc=False):
    """A submission whose receipt is not here yet."""

    event_id: UUID
    batch_id: UUID
    kind: str
    booking_id: UUID
    entry: bytes


class CommittedSubmission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an event is in the log, as a block proves.

    `receipt` is its text if the entry was in the log before that block; else that can be made.
    """

    event_id: UUID
    batch_id: UUID
    kind: str
    booking_id: UUID
    index: int
    receipt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedBlock:
    """A block as it is kept: header and certificate in canonical JSON, hashes in a row."""

    height: int
    header: str
    certificate: str
    peaks: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProof:
    """All there is to prove an entry with: `receipt`, or what to put it together from."""

    entry: bytes
    receipt: str | None
    sealed: CertifiedBlock | None


@dataclass(frozen=True, slots=True)
class CommitmentOpening:
    """What shows that an entry is a certain customer's."""

    event_id: UUID
    kind: str
    booking_id: UUID
    occurred_at: datetime
    salt: bytes


def joined(batches: Sequence[Batch], size_max: int) -> list[list[Batch]]:
    """Batches in their order, in parts of at most `size_max` submissions; a batch stays whole."""
    parts: list[list[Batch]] = []
    room = 0
    for batch in batches:
        size = len(batch.event_ids)
        assert size <= size_max, "batches are made to fit"
        if size > room:
            parts.append([])
            room = size_max
        parts[-1].append(batch)
        room -= size
    return parts
