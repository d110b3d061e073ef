"""The messages between validators and clients, and their one canonical encoding.

A message is a frozen struct. On the wire it is a MessagePack array that starts with its name. The
decoder accepts only the exact bytes that the encoder makes: no unknown fields, no second encoding
of a value, no number, list or text above its limit. A signature covers a domain, then the encoded
message without its signature.

Names on the wire are lower-case class names, or the `tag` of the class. Signatures cover them and
validators of two versions exchange them, so they never change.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from cinesync.pbft import quorum

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
CLIENT_WINDOW: Final = 64  # cached replies per client, hence the most requests in flight
DOMAIN: Final = b"cinesync/pbft/1\x00"
NULL_DIGEST: Final = bytes(32)  # of the null request, which fills gaps (4.4)

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
    """Base of every encoded struct."""


class Validator(Wire, frozen=True):
    replica: ReplicaId  # never reused for another validator
    public_key: PublicKey


class Client(Wire, frozen=True):
    name: ClientName
    public_key: PublicKey
    operator: bool = False  # may propose the next configuration


class Configuration(Wire, frozen=True, gc=True, dict=True):
    """Who votes and who may submit requests in one epoch: the heights between two checkpoints."""

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
        """No number, name or key occurs twice: one validator, one vote."""
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
    """A client's batch of operations: one sequence number, one signature, applied once (4.1)."""

    client: ClientName
    sequence: Number
    operations: Annotated[tuple[Operation, ...], Meta(max_length=4_096)]
    change: Configuration | None = None  # an operator's proposal of the next epoch
    signature: Signature = b""

    @property
    def key(self) -> tuple[str, int]:
        return self.client, self.sequence


class ConsensusBlock(Wire, frozen=True):
    """The requests ordered at one height. Its digest covers neither view nor height, so a later
    view can choose the same block.
    """

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
    """One signature of a certificate. The certificate says what was signed."""

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
    """A quorum of commits and their block: all that a lagging replica needs for a height."""

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
    """A cached reply: for the last CLIENT_WINDOW sequences of a client."""

    sequence: Number
    height: Number
    result: OperationResult


class ClientSession(Wire, frozen=True):
    """The cached replies of a client, oldest sequence first."""

    client: ClientName
    replies: Annotated[tuple[Cached, ...], Meta(max_length=CLIENT_WINDOW)]


ClientSessions: TypeAlias = Annotated[tuple[ClientSession, ...], Meta(max_length=1_024)]


class ConfigurationChange(Wire, frozen=True):
    """An ordered configuration that takes effect at the checkpoint of `height`."""

    height: Number
    configuration: Configuration


class CheckpointState(Wire, frozen=True):
    """What a checkpoint's digest covers: everything that applying the next block depends on."""

    height: Number
    time: Number
    configuration: Configuration  # of the heights above: signing this signs the new set
    change: ConfigurationChange | None
    sessions: Digest
    manifest: Annotated[bytes, Meta(max_length=65_536)]  # the application's: verifies its chunks
    chunks: Annotated[int, Meta(ge=0, le=2**32)]


class EpochLink(Wire, frozen=True):
    """Proof of the next epoch: the old quorum signed a state that names the new configuration."""

    proof: StableProof
    state: CheckpointState


class ReplicaStatus(Wire, frozen=True, tag="status"):
    """What a replica announces: peers send it what it lacks when it does not advance."""

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
    """From a replica that lost its log: which height is your stable checkpoint?"""

    nonce: Number


class ProbeAnswer(Wire, frozen=True, tag=_tag):
    nonce: Number
    proof: StableProof


class Attestation(SignedMessage, frozen=True):
    """A validator's signature over the application's digest at a height. Receipts contain these."""

    height: Number
    digest: Digest


class Reply(SignedMessage, frozen=True):
    client: ClientName
    sequence: Number
    height: Number
    result: OperationResult
    attestation: Attestation | None  # None: the height is below the stable checkpoint


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
    """The bytes are not a message: malformed, too large, or not canonical."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(PbftMessage)
encode: Final = _ENCODER.encode


def decode(frame: bytes) -> PbftMessage:
    """Raises MalformedMessage and nothing else, for any bytes."""
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
    """The bytes that a signature covers: with the message's name, without its block."""
    if isinstance(message, PrePrepare):
        bare: SignedMessage | Request = msgspec.structs.replace(message, signature=b"", block=None)
    else:
        bare = msgspec.structs.replace(message, signature=b"")
    return DOMAIN + encode(bare)
