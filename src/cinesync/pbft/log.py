"""What is known of each height between the marks, and what a crash must not take away.

Records are sealed into a chain: each carries its length and a hash over itself and the one before.
A row cut short is a write that never finished, so nothing was ever sent on its strength and it may
be dropped. A row whose hash is wrong was damaged after the fact: the whole log is then doubted.
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
    """One height. A peer has one vote of each kind in it: its first in its latest view."""

    height: int
    proposal: PrePrepare | None = None  # accepted in its view, its block kept in `blocks`
    awaited: PrePrepare | None = None  # from a new view, block not here yet
    blocks: dict[bytes, ConsensusBlock | None] = field(default_factory=dict)
    prepares: dict[int, Prepare] = field(default_factory=dict)
    commits: dict[int, Commit] = field(default_factory=dict)
    prepared: PreparedProof | None = None
    decided: Decided | None = None

    def decided_record(self) -> Decided:
        """What to write down: its block only if no record before this one has it."""
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
    """A later view replaces a vote; a second word in the same view does not."""
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
    ceiling: int | None = None  # the last height of this epoch, once it is known

    @property
    def low(self) -> int:
        return self.stable.height

    @property
    def high(self) -> int:
        high = self.stable.height + self.window
        return high if self.ceiling is None else min(high, self.ceiling)

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


class Record(Wire, frozen=True):
    """What is written before anything that depends on it is sent."""


def _tag(name: str) -> str:
    return f"log.{name.lower()}"


class Stable(Record, frozen=True, tag=_tag):
    proof: StableProof
    state: CheckpointState
    sessions: ClientSessions
    links: Annotated[tuple[EpochLink, ...], Meta(max_length=1_024)]


class Accepted(Record, frozen=True, tag=_tag):
    pre_prepare: PrePrepare
    prepare: Prepare | None  # none on the primary, whose pre-prepare is its vote


class Prepared(Record, frozen=True, tag=_tag):
    proof: PreparedProof
    commit: Commit


class Content(Record, frozen=True, tag=_tag):
    """A block that may yet be asked for, though another was accepted since."""

    height: Number
    block: ConsensusBlock


class Abstaining(Record, frozen=True, tag=_tag):
    """Vote for nothing until this height is stable; None: it must still be found out."""

    until: Number | None


LogRecord: TypeAlias = (
    Stable | Accepted | Prepared | Content | Abstaining | Decided | ViewChange | NewView
)

_DECODER: Final = msgspec.msgpack.Decoder(LogRecord)
_HEADER: Final = struct.Struct(">II")
_HASH_BYTES: Final = 16


class Damaged(Exception):
    """The log is not what was written: it proves nothing about what was signed."""


def _chain_hash(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + body).digest()[:_HASH_BYTES]


@dataclass(slots=True)
class RecordChain:
    """Seals records on their way to the disk. A rewritten log starts a new chain."""

    last: bytes = bytes(_HASH_BYTES)

    def encode(self, entry: LogRecord) -> bytes:
        body = encode(entry)
        self.last = _chain_hash(self.last, body)
        length = struct.pack(">I", len(body))
        return _HEADER.pack(len(body), zlib.crc32(length)) + self.last + body

    def decode(self, rows: Sequence[bytes]) -> list[LogRecord]:
        """The records of a log; a last row cut short is left out. Raises Damaged."""
        return [
            self._decode(row)
            for index, row in enumerate(rows)
            if not (index == len(rows) - 1 and _is_torn(row))
        ]

    def _decode(self, row: bytes) -> LogRecord:
        body = row[_HEADER.size + _HASH_BYTES :]
        encode = _chain_hash(self.last, body)
        header = _HEADER.pack(len(body), zlib.crc32(struct.pack(">I", len(body))))
        if row[: _HEADER.size + _HASH_BYTES] != header + encode:
            raise Damaged
        self.last = encode
        entry: LogRecord = _DECODER.decode(body)
        return entry


def _is_torn(row: bytes) -> bool:
    if len(row) < _HEADER.size:
        return True
    length, check = _HEADER.unpack_from(row)
    honest: bool = zlib.crc32(struct.pack(">I", length)) == check
    return honest and len(row) < _HEADER.size + _HASH_BYTES + int(length)
