"""Everything validators and clients say to each other, and its one canonical encoding.

A message is a frozen struct; on the wire it is a MessagePack array that starts with its name. The
decoder takes exactly the bytes the encoder makes: no unknown fields, no second spelling, no
number, list or text above its limit. A signature covers a domain, then the encoded message
without its signature.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from cinesync.pbft import quorum

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
CLIENT_WINDOW: Final = 64  # sequences of one client that are remembered, hence may be in flight
DOMAIN: Final = b"cinesync/pbft/1\x00"
NULL_DIGEST: Final = bytes(32)  # of the null request, which fills gaps (section 4.4)

Number: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
ReplicaId: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]
Digest: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature: TypeAlias = Annotated[bytes, Meta(max_length=128)]
PublicKey: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=256)]
ClientName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Operation: TypeAlias = Annotated[bytes, Meta(max_length=65_536)]
OperationResult: TypeAlias = Annotated[bytes, Meta(max_length=4_096)]


def _tag(name: str) -> str:
    return name.lower()


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Anything that is encoded."""


class Validator(Wire, frozen=True):
    replica: ReplicaId  # for ever this one's: never given to another validator
    public_key: PublicKey


class Client(Wire, frozen=True):
    name: ClientName
    public_key: PublicKey
    operator: bool = False  # may propose the next configuration


class Configuration(Wire, frozen=True, gc=True, dict=True):
    """Who votes and who may ask, for one epoch: a run of heights between two checkpoints."""

    epoch: Number
    validators: Annotated[tuple[Validator, ...], Meta(min_length=1, max_length=256)]
    clients: Annotated[tuple[Client, ...], Meta(max_length=64)]

    @cached_property
    def size(self) -> int:
        return len(self.validators)

    @cached_property
    def quorum(self) -> int:
        return quorum.quorum(self.size)

    @cached_property
    def weak_quorum(self) -> int:
        return quorum.weak_quorum(self.size)

    @property
    def is_consistent(self) -> bool:
        """Nobody is named twice, under two numbers or names either: one validator, one vote."""
        replicas = {validator.replica for validator in self.validators}
        names = {client.name for client in self.clients}
        keys = {v.public_key for v in self.validators} | {c.public_key for c in self.clients}
        count = self.size + len(self.clients)
        return len(replicas) + len(names) == len(keys) == count

    def primary(self, view: int) -> int:
        return self.validators[view % self.size].replica

    def key(self, replica: int) -> bytes | None:
        return self._keys.get(replica)

    @cached_property
    def _keys(self) -> dict[int, bytes]:
        return {validator.replica: validator.public_key for validator in self.validators}

    def client(self, name: str) -> Client | None:
        return next((client for client in self.clients if client.name == name), None)


class Request(Wire, frozen=True, tag=_tag):
    """A client's batch: executed once, under one sequence number and one signature (4.1)."""

    client: ClientName
    sequence: Number
    operations: Annotated[tuple[Operation, ...], Meta(max_length=4_096)]
    change: Configuration | None = None  # an operator's proposal of the next epoch
    signature: Signature = b""

    @property
    def key(self) -> tuple[str, int]:
        return self.client, self.sequence


class ConsensusBlock(Wire, frozen=True):
    """What one height orders. Its digest names neither view nor height, so it outlives both."""

    time: Number  # unit chosen by the driver, the same everywhere
    requests: Annotated[tuple[Request, ...], Meta(max_length=1_024)]


class SignedMessage(Wire, frozen=True, tag=_tag):
    replica: ReplicaId
    signature: Signature
    epoch: Number


class PrePrepare(SignedMessage, frozen=True):
    view: Number
    height: Number
    digest: Digest
    block: ConsensusBlock | None = None  # outside the signature, which covers its digest


class Prepare(SignedMessage, frozen=True):
    view: Number
    height: Number
    digest: Digest


class Commit(SignedMessage, frozen=True):
    view: Number
    height: Number
    digest: Digest


class Checkpoint(SignedMessage, frozen=True):
    height: Number
    digest: Digest


class Vote(Wire, frozen=True):
    """One signature of a certificate; what was signed is spelled once, in the certificate."""

    replica: ReplicaId
    signature: Signature


Votes: TypeAlias = Annotated[tuple[Vote, ...], Meta(max_length=256)]


class StableProof(Wire, frozen=True, tag=_tag):
    """A quorum signed one state digest (4.3). Height 0 of epoch 0 needs no votes."""

    epoch: Number
    height: Number
    digest: Digest
    votes: Votes


class PreparedProof(Wire, frozen=True):
    """A pre-prepare and a quorum less one of matching prepares from distinct backups (4.2)."""

    epoch: Number
    view: Number
    height: Number
    digest: Digest
    proposal: Vote
    votes: Votes


class Decided(Wire, frozen=True, tag=_tag):
    """A quorum of commits, and what they committed: all a lagging replica needs for a height."""

    epoch: Number
    view: Number
    height: Number
    digest: Digest
    votes: Votes
    block: ConsensusBlock | None


class ViewChange(SignedMessage, frozen=True):
    view: Number
    stable: StableProof  # C of the paper
    prepared: Annotated[tuple[PreparedProof, ...], Meta(max_length=1_024)]  # P


class NewView(SignedMessage, frozen=True):
    view: Number
    view_changes: Annotated[tuple[ViewChange, ...], Meta(max_length=256)]  # V
    pre_prepares: Annotated[tuple[PrePrepare, ...], Meta(max_length=1_024)]  # O, without blocks


class Cached(Wire, frozen=True):
    """The reply kept for a client until it has moved CLIENT_WINDOW sequences on."""

    sequence: Number
    height: Number
    result: OperationResult


class ClientSession(Wire, frozen=True):
    """All that is remembered of a client, oldest sequence first."""

    client: ClientName
    replies: Annotated[tuple[Cached, ...], Meta(max_length=CLIENT_WINDOW)]


ClientSessions: TypeAlias = Annotated[tuple[ClientSession, ...], Meta(max_length=1_024)]


class ConfigurationChange(Wire, frozen=True):
    """An ordered configuration waiting for the checkpoint at which it takes effect."""

    height: Number
    configuration: Configuration


class CheckpointState(Wire, frozen=True):
    """What a checkpoint's digest covers: the next block's whole starting point."""

    height: Number
    time: Number
    configuration: Configuration  # of the heights above: signing this signs the new set
    change: ConfigurationChange | None
    sessions: Digest
    manifest: Annotated[bytes, Meta(max_length=65_536)]  # the application's, names its chunks
    chunks: Annotated[int, Meta(ge=0, le=2**32)]


class EpochLink(Wire, frozen=True):
    """The old quorum's word for a new set: a stable state that starts the next epoch."""

    proof: StableProof
    state: CheckpointState


class ReplicaStatus(Wire, frozen=True, tag="status"):
    """Where I stand. Peers answer with what I lack, once I stand still."""

    epoch: Number
    view: Number
    active: bool
    executed: Number
    stable: Number


class EpochLinks(Wire, frozen=True, tag="links"):
    links: Annotated[tuple[EpochLink, ...], Meta(max_length=16)]


class FetchBlock(Wire, frozen=True, tag=_tag):
    height: Number
    digest: Digest


class BlockFound(Wire, frozen=True, tag=_tag):
    height: Number
    block: ConsensusBlock


class FetchState(Wire, frozen=True, tag=_tag):
    height: Number


class StateFound(Wire, frozen=True, tag=_tag):
    state: CheckpointState
    sessions: ClientSessions


class FetchChunk(Wire, frozen=True, tag=_tag):
    height: Number
    index: Number


class ChunkFound(Wire, frozen=True, tag=_tag):
    height: Number
    index: Number
    data: Annotated[bytes, Meta(max_length=1_048_576)]


class Probe(Wire, frozen=True, tag=_tag):
    """OutstandingRequest by one who lost its log: how high may I have signed?"""

    nonce: Number


class ProbeAnswer(Wire, frozen=True, tag=_tag):
    nonce: Number
    proof: StableProof


class Attestation(SignedMessage, frozen=True):
    """A validator's word for the chain up to a height: what receipts are made of."""

    height: Number
    digest: Digest


class Reply(SignedMessage, frozen=True):
    client: ClientName
    sequence: Number
    height: Number
    result: OperationResult
    attestation: Attestation | None  # None when the height is older than the stable checkpoint


PbftMessage: TypeAlias = (
    Request
    | PrePrepare
    | Prepare
    | Commit
    | Checkpoint
    | StableProof
    | Decided
    | ViewChange
    | NewView
    | ReplicaStatus
    | EpochLinks
    | FetchBlock
    | BlockFound
    | FetchState
    | StateFound
    | FetchChunk
    | ChunkFound
    | Probe
    | ProbeAnswer
    | Reply
)
S = TypeVar("S", bound=SignedMessage)


class MalformedMessage(ValueError):
    """These bytes are no message: malformed, too large, or not canonical."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(PbftMessage)
encode: Final = _ENCODER.encode


def decode(frame: bytes) -> PbftMessage:
    """Raises MalformedMessage; nothing else can come out of any bytes."""
    if len(frame) > FRAME_BYTES_MAX:
        raise MalformedMessage(f"a frame of {len(frame)} bytes")
    try:
        message: PbftMessage = _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedMessage(str(problem)) from problem
    if encode(message) != frame:
        raise MalformedMessage("not the canonical encoding")
    return message


def digest(thing: Wire | Sequence[Wire]) -> bytes:
    return hashlib.sha256(DOMAIN + encode(thing)).digest()


def digest_of(block: ConsensusBlock | None) -> bytes:
    return NULL_DIGEST if block is None else digest(block)


def payload(message: SignedMessage | Request) -> bytes:
    """What a signature is over: the message's name is in its encoding, the block is not."""
    if isinstance(message, PrePrepare):
        bare: SignedMessage | Request = msgspec.structs.replace(message, signature=b"", block=None)
    else:
        bare = msgspec.structs.replace(message, signature=b"")
    return DOMAIN + encode(bare)
