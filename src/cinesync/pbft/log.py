"""The slots between the water marks, and the records that must survive a crash.

Records form a hash chain: each carries its length and a hash over itself and the record before.
A last row that is cut short is a torn write. The replica never sent anything that depended on it,
so recovery drops it. A row with a wrong hash was damaged after the write: recovery then treats the
whole log as lost.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from cinesync.pbft.messages import (
    Checkpoint,
    CheckpointState,
    ClientSessions,
    Commit,
    ConsensusBlock,
    Decided,
    EpochLink,
    NewView,
    Number,
    Prepare,
    PreparedProof,
    PrePrepare,
    StableProof,
    ViewChange,
    Vote,
    Wire,
    encode,
)

BLOCKS_PER_SLOT_MAX: Final = 4
V = TypeVar("V", Prepare, Commit)


@dataclass(slots=True)
class Slot:
    """One height. It holds one vote of each kind per peer: the first of the peer's latest view."""

    height: int
    proposal: PrePrepare | None = None  # the accepted one; its block is in `blocks`
    awaited: PrePrepare | None = None  # chosen by a new view; its block is missing
    blocks: dict[bytes, ConsensusBlock | None] = field(default_factory=dict)
    prepares: dict[int, Prepare] = field(default_factory=dict)
    commits: dict[int, Commit] = field(default_factory=dict)
    prepared: PreparedProof | None = None
    decided: Decided | None = None

    def decided_record(self) -> Decided:
        """The record to persist: with its block only if no earlier record has it."""
        assert self.decided is not None
        known = self.proposal is not None and self.proposal.digest == self.decided.digest
        return msgspec.structs.replace(self.decided, block=None) if known else self.decided

    def keep(self, digest: bytes, block: ConsensusBlock | None) -> None:
        self.blocks[digest] = block
        proven = (self.prepared, self.decided)
        needed = {digest, *(proof.digest for proof in proven if proof is not None)}
        spare = [other for other in self.blocks if other not in needed]
        for other in spare[: max(0, len(self.blocks) - BLOCKS_PER_SLOT_MAX)]:
            del self.blocks[other]


def is_newer_vote(votes: Mapping[int, V], vote: V) -> bool:
    """Whether it replaces the peer's vote: only a vote of a later view does."""
    known = votes.get(vote.replica)
    return known is None or known.view < vote.view


def matching(votes: Mapping[int, V], view: int, digest: bytes) -> tuple[Vote, ...]:
    return tuple(
        Vote(vote.replica, vote.signature)
        for _, vote in sorted(votes.items())
        if vote.view == view and vote.digest == digest
    )


def matching_checkpoints(votes: Mapping[int, Checkpoint], like: Checkpoint) -> StableProof:
    same = tuple(
        Vote(vote.replica, vote.signature)
        for _, vote in sorted(votes.items())
        if vote.digest == like.digest
    )
    return StableProof(like.epoch, like.height, like.digest, same)


@dataclass(slots=True)
class Log:
    """The slots between the low mark h, the stable checkpoint, and the high mark (4.2, 4.3)."""

    stable: StableProof
    window: int
    slots: dict[int, Slot] = field(default_factory=dict)
    epoch_end: int | None = None  # the last height of this epoch, once it is known

    @property
    def low(self) -> int:
        return self.stable.height

    @property
    def high(self) -> int:
        high = self.stable.height + self.window
        return high if self.epoch_end is None else min(high, self.epoch_end)

    def slot(self, height: int) -> Slot | None:
        if not self.low < height <= self.high:
            return None
        slot = self.slots.get(height)
        if slot is None:
            slot = self.slots[height] = Slot(height)
        return slot

    def advance_low_mark(self, proof: StableProof) -> None:
        self.stable = proof
        for height in [height for height in self.slots if height <= proof.height]:
            del self.slots[height]


# Records: each is durable before anything that depends on it is sent.


def _tag(name: str) -> str:
    return f"log.{name.lower()}"


class Stable(Wire, frozen=True, tag=_tag):
    proof: StableProof
    state: CheckpointState
    sessions: ClientSessions
    links: Annotated[tuple[EpochLink, ...], Meta(max_length=1_024)]


class Accepted(Wire, frozen=True, tag=_tag):
    pre_prepare: PrePrepare
    prepare: Prepare | None  # none on the primary, whose pre-prepare is its vote


class Prepared(Wire, frozen=True, tag=_tag):
    proof: PreparedProof
    commit: Commit


class Content(Wire, frozen=True, tag=_tag):
    """A block that peers may still fetch, though another was accepted since."""

    height: Number
    block: ConsensusBlock


class Abstaining(Wire, frozen=True, tag=_tag):
    """Sign no vote until this height is stable. None: the height is not known yet."""

    until: Number | None


LogRecord: TypeAlias = (
    Stable | Accepted | Prepared | Content | Abstaining | Decided | ViewChange | NewView
)

_DECODER: Final = msgspec.msgpack.Decoder(LogRecord)
_HEADER: Final = struct.Struct(">II")
_HASH_BYTES: Final = 16


class Damaged(Exception):
    """The log differs from what was written: it does not prove what was signed."""


def _chain_hash(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + body).digest()[:_HASH_BYTES]


@dataclass(slots=True)
class RecordChain:
    """Encodes records for the disk, each with a hash over all before it.

    A log that is replaced starts a new chain.
    """

    last: bytes = bytes(_HASH_BYTES)

    def encode(self, record: LogRecord) -> bytes:
        body = encode(record)
        self.last = _chain_hash(self.last, body)
        length = struct.pack(">I", len(body))
        return _HEADER.pack(len(body), zlib.crc32(length)) + self.last + body

    def decode(self, rows: Sequence[bytes]) -> list[LogRecord]:
        """The records of a log, without a torn last row. Raises Damaged."""
        return [
            self._decode(row)
            for index, row in enumerate(rows)
            if not (index == len(rows) - 1 and _is_torn(row))
        ]

    def _decode(self, row: bytes) -> LogRecord:
        body = row[_HEADER.size + _HASH_BYTES :]
        chain_hash = _chain_hash(self.last, body)
        header = _HEADER.pack(len(body), zlib.crc32(struct.pack(">I", len(body))))
        if row[: _HEADER.size + _HASH_BYTES] != header + chain_hash:
            raise Damaged
        self.last = chain_hash
        record: LogRecord = _DECODER.decode(body)
        return record


def _is_torn(row: bytes) -> bool:
    if len(row) < _HEADER.size:
        return True
    length, check = _HEADER.unpack_from(row)
    is_length_intact: bool = zlib.crc32(struct.pack(">I", length)) == check
    return is_length_intact and len(row) < _HEADER.size + _HASH_BYTES + int(length)
