"""Submissions, committed submissions, stored proofs, and the errors of the API."""

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
    """An event as it goes into the chain. Only the salt links the entry to the customer."""

    event_id: UUID
    kind: str
    booking_id: UUID
    customer_id: UUID
    salt: bytes
    entry: bytes
    occurred_at: datetime


class Batch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Submissions that were recorded together and go into one request."""

    batch_id: UUID
    event_ids: Sequence[UUID]


class PendingSubmission(msgspec.Struct, frozen=True, gc=False):
    """A submission that no block has yet."""

    event_id: UUID
    batch_id: UUID
    kind: str
    booking_id: UUID
    entry: bytes


class CommittedSubmission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A submission with its index in the log, as a block proves.

    `receipt` is its text if an earlier block has the entry; else a receipt can be made on request.
    """

    event_id: UUID
    batch_id: UUID
    kind: str
    booking_id: UUID
    index: int
    receipt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedBlock:
    """A block proof with its certificate, as stored: canonical JSON, concatenated hashes."""

    height: int
    header: str
    certificate: str
    peaks: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProof:
    """What proves an entry: a whole receipt, or the block to make one from."""

    entry: bytes
    receipt: str | None
    block: CertifiedBlock | None


@dataclass(frozen=True, slots=True)
class CommitmentOpening:
    """The salt of an entry: it shows whose entry it is."""

    event_id: UUID
    kind: str
    booking_id: UUID
    occurred_at: datetime
    salt: bytes


def grouped(batches: Sequence[Batch], size_max: int) -> list[list[Batch]]:
    """Group whole batches, in their order, into parts of at most `size_max` submissions."""
    parts: list[list[Batch]] = []
    free = 0
    for batch in batches:
        size = len(batch.event_ids)
        assert size <= size_max, "batches are made to fit"
        if size > free:
            parts.append([])
            free = size_max
        parts[-1].append(batch)
        free -= size
    return parts
