"""What waits for the chain, what is in it, and what can go wrong for who asks: pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from cinesync.chassis.problems import Problem, Unavailable

SEQUENCES_RESERVED: Final = 2**32
SEQUENCES_PER_MILLISECOND: Final = 1024


class State(StrEnum):
    """How far a submission is."""

    WAITING = "waiting"
    FINAL = "final"


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


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A submission whose receipt is not here yet."""

    event_id: UUID
    kind: str
    booking_id: UUID
    entry: bytes


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an event is in the log, as the block at `height` proves.

    `receipt` is its text if the entry was in the log before that block; else that can be made.
    """

    event_id: UUID
    kind: str
    booking_id: UUID
    height: int
    index: int
    receipt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A block as it is kept: header and certificate in canonical JSON, hashes in a row."""

    height: int
    header: str
    certificate: str
    peaks: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All there is to prove an entry with: `receipt`, or what to put it together from."""

    entry: bytes
    index: int
    receipt: str | None
    sealed: Sealed | None


def first_sequence(reserved: int, milliseconds: int) -> int:
    """Above all that this writer ever used, even if its database or its clock was set back."""
    return max(reserved, milliseconds * SEQUENCES_PER_MILLISECOND)
