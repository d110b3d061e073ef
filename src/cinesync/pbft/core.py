"""A replica's memory, and what every rule does with it: sign, check, persist, send."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from cinesync.pbft import certificates
from cinesync.pbft.log import Abstaining, Accepted, Content, Log, LogRecord, Prepared, Slot, Stable
from cinesync.pbft.messages import (
    NULL_DIGEST,
    Attestation,
    Cached,
    Checkpoint,
    CheckpointState,
    ClientSession,
    Configuration,
    ConfigurationChange,
    EpochLink,
    NewView,
    PbftMessage,
    ReplicaStatus,
    Reply,
    Request,
    SignedMessage,
    StableProof,
    ViewChange,
    payload,
)
from cinesync.pbft.ports import Application, Keys, Parameters
from cinesync.pbft.sessions import SessionTable

S = TypeVar("S", bound=SignedMessage)
GENESIS = StableProof(epoch=0, height=0, digest=NULL_DIGEST, votes=())


@dataclass(slots=True)
class PendingRequest:
    """A request that waits for a block, and the tick since which this primary could propose it."""

    request: Request
    since: int
    forwarded: bool = False  # by this replica, to the current primary


@dataclass(slots=True)
class Transfer:
    """A state transfer in progress, to the state that a checkpoint certificate names."""

    proof: StableProof
    since: int
    state: CheckpointState | None = None
    sessions: tuple[ClientSession, ...] = ()
    received: int = 0
    attempts: int = 0  # fetches sent; each goes to the next peer


@dataclass(slots=True)
class StateSnapshot:
    """A checkpoint's state that peers may fetch."""

    state: CheckpointState
    sessions: tuple[ClientSession, ...]


@dataclass(slots=True)
class Core:
    me: int
    genesis: Configuration
    keys: Keys
    application: Application
    parameters: Parameters
    nonce: int

    configuration: Configuration = field(init=False)
    configurations: dict[int, Configuration] = field(init=False)
    links: list[EpochLink] = field(default_factory=list)
    change: ConfigurationChange | None = None
    change_since: int = 0

    view: int = 0
    active: bool = True  # False between a view-change sent and the new-view received
    log: Log = field(init=False)
    executed: int = 0
    time: int = 0
    sessions: SessionTable = field(default_factory=SessionTable)
    attestations: dict[int, Attestation] = field(default_factory=dict)
    pending: dict[tuple[str, int], PendingRequest] = field(default_factory=dict)

    checkpoints: dict[int, dict[int, Checkpoint]] = field(default_factory=dict)
    snapshots: dict[int, StateSnapshot] = field(default_factory=dict)
    view_changes: dict[int, ViewChange] = field(default_factory=dict)
    new_view: NewView | None = None
    new_view_high: int = 0  # up to here the new-view message chose; the primary proposes above
    failed_views: int = 0  # view changes since a block was last applied
    deadline: int | None = None  # for the new-view message, once a quorum voted for the view

    transfer: Transfer | None = None
    abstaining: bool = False
    abstain_until: int | None = None
    probe_answers: dict[int | str, int] = field(default_factory=dict)
    peers: dict[int | str, ReplicaStatus] = field(default_factory=dict)
    announced: ReplicaStatus | None = None  # the last status broadcast

    ticks: int = 0
    now: int = 0
    compact: bool = False  # the next write replaces the log by `log_records`
    records: list[LogRecord] = field(default_factory=list)
    outbox: list[tuple[int | str, PbftMessage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.configuration = self.genesis
        self.configurations = {self.genesis.epoch: self.genesis}
        self.log = Log(GENESIS, self.parameters.window)

    # configuration and role

    @property
    def member(self) -> bool:
        return self.configuration.key(self.me) is not None

    @property
    def may_vote(self) -> bool:
        return self.member and not self.abstaining

    @property
    def primary(self) -> int:
        return self.configuration.primary(self.view)

    @property
    def newest(self) -> Configuration:
        """The newest configuration with a proof; its epoch may be above this replica's."""
        return self.configurations[max(self.configurations)]

    @property
    def others(self) -> list[int]:
        """All peers: of this configuration and of the newest, in case the former are all gone."""
        known = self.configuration.validators
        if self.newest is not self.configuration:
            known = tuple({v.replica: v for v in (*known, *self.newest.validators)}.values())
        return [v.replica for v in known if v.replica != self.me]

    @property
    def view_timeout(self) -> int:
        """T, 2T, 4T, … ticks (4.5.2): it doubles with each view change in a row."""
        doublings = min(self.failed_views, self.parameters.doublings_max)
        return self.parameters.timeout_ticks << doublings

    # actions

    def sign(self, message: S) -> S:
        key = self.configuration.key(self.me)
        assert key is not None
        return msgspec.structs.replace(message, signature=self.keys.sign(key, payload(message)))

    def signed(self, message: SignedMessage) -> bool:
        return certificates.signed(self.keys, self.configuration, message)

    def persist(self, record: LogRecord) -> None:
        self.records.append(record)

    def send(self, to: int | str, message: PbftMessage) -> None:
        self.outbox.append((to, message))

    def broadcast(self, message: PbftMessage) -> None:
        self.outbox.extend((peer, message) for peer in self.others)

    def await_state(self, proof: StableProof) -> None:
        """Note a stable checkpoint that this replica lacks; catch_up fetches it after a delay."""
        behind = self.transfer
        if behind is None:
            self.transfer = Transfer(proof, self.ticks)
        elif behind.proof.height < proof.height:  # keeps the delay: peers may advance quickly
            self.transfer = Transfer(proof, behind.since, attempts=behind.attempts)

    def reset_abstain_bound(self) -> None:
        """Ask again how high this replica may have signed: an older configuration cannot know."""
        if self.abstaining:
            self.abstain_until = None
            self.probe_answers.clear()

    def restart_timers(self) -> None:
        """Give a new primary the whole view timeout for every pending request."""
        for waiting in self.pending.values():
            waiting.since, waiting.forwarded = self.ticks, False
        self.change_since = self.ticks

    def reply(self, client: str, cached: Cached) -> None:
        """Send a client its result, with the attestation that receipts need, while it is here."""
        if not self.member:
            return
        attestation = self.attestations.get(cached.height)
        body = (cached.sequence, cached.height, cached.result, attestation)
        message = Reply(self.me, b"", self.configuration.epoch, client, *body)
        self.send(client, self.sign(message))

    # what a replacement of the log contains

    def log_records(self) -> Iterator[LogRecord]:
        yield self.stable_record()
        if self.abstaining:
            yield Abstaining(self.abstain_until)
        if self.new_view is not None:
            yield self.new_view
        if not self.active and self.me in self.view_changes:
            yield self.view_changes[self.me]
        for height in sorted(self.log.slots):
            yield from self._slot_records(self.log.slots[height])

    def stable_record(self) -> Stable:
        snapshot = self.snapshots.get(self.log.low) or self.genesis_snapshot()
        return Stable(self.log.stable, snapshot.state, snapshot.sessions, tuple(self.links))

    def genesis_snapshot(self) -> StateSnapshot:
        return StateSnapshot(genesis_state(self.genesis), ())

    def _slot_records(self, slot: Slot) -> Iterator[LogRecord]:
        for block in slot.blocks.values():
            if block is not None:
                yield Content(slot.height, block)
        if slot.proposal is not None:
            yield Accepted(slot.proposal, slot.prepares.get(self.me))
        if slot.prepared is not None:
            yield Prepared(slot.prepared, slot.commits[self.me])
        if slot.decided is not None:
            yield slot.decided_record()


def genesis_state(genesis: Configuration) -> CheckpointState:
    return CheckpointState(0, 0, genesis, None, bytes(32), b"", 0)
