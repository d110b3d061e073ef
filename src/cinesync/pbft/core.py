"""One replica's memory, and the few verbs every rule uses: sign, check, persist, send."""

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
    """A request and the tick since which this view's primary has owed it a block."""

    request: Request
    since: int
    forwarded: bool = False  # to this primary, by me


@dataclass(slots=True)
class Transfer:
    """CheckpointState on its way here from another replica, named by a checkpoint certificate."""

    proof: StableProof
    since: int
    state: CheckpointState | None = None
    sessions: tuple[ClientSession, ...] = ()
    received: int = 0
    asked: int = 0  # how many peers have been asked; the next one is another


@dataclass(slots=True)
class StateSnapshot:
    """A state others may fetch."""

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
    active: bool = True  # False from the view-change sent to the new-view received
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
    new_view_high: int = 0  # heights up to here were the new view's to choose, not the primary's
    attempts: int = 0  # view changes since something was last applied
    deadline: int | None = None  # of the new view, once a quorum asked for it

    transfer: Transfer | None = None
    abstaining: bool = False
    abstain_until: int | None = None
    probe_answers: dict[int | str, int] = field(default_factory=dict)
    peers: dict[int | str, ReplicaStatus] = field(default_factory=dict)
    announced: ReplicaStatus | None = None  # where the others think I stand

    ticks: int = 0
    now: int = 0
    compact: bool = False  # the next write replaces the log by what `entries` gives
    records: list[LogRecord] = field(default_factory=list)
    outbox: list[tuple[int | str, PbftMessage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.configuration = self.genesis
        self.configurations = {self.genesis.epoch: self.genesis}
        self.log = Log(GENESIS, self.parameters.window)

    # who am I now

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
        """The last set that I have proof of, though I may not stand in its epoch yet."""
        return self.configurations[max(self.configurations)]

    @property
    def others(self) -> list[int]:
        """Whom I talk to: who is behind by whole epochs finds nobody of its own set any more."""
        known = self.configuration.validators
        if self.newest is not self.configuration:
            known = tuple({v.replica: v for v in (*known, *self.newest.validators)}.values())
        return [v.replica for v in known if v.replica != self.me]

    @property
    def view_timeout(self) -> int:
        """T, 2T, 4T, … ticks (4.5.2)."""
        return self.parameters.timeout_ticks << min(self.attempts, self.parameters.doublings_max)

    # verbs

    def sign(self, message: S) -> S:
        key = self.configuration.key(self.me)
        assert key is not None
        return msgspec.structs.replace(message, signature=self.keys.sign(key, payload(message)))

    def signed(self, message: SignedMessage) -> bool:
        return certificates.signed(self.keys, self.configuration, message)

    def persist(self, entry: LogRecord) -> None:
        self.records.append(entry)

    def send(self, to: int | str, message: PbftMessage) -> None:
        self.outbox.append((to, message))

    def broadcast(self, message: PbftMessage) -> None:
        self.outbox.extend((peer, message) for peer in self.others)

    def await_state(self, proof: StableProof) -> None:
        """A quorum is at this checkpoint and I am not: catch_up goes there if I stay behind."""
        behind = self.transfer
        if behind is None:
            self.transfer = Transfer(proof, self.ticks)
        elif behind.proof.height < proof.height:  # patience is not begun anew: they may be quick
            self.transfer = Transfer(proof, behind.since, asked=behind.asked)

    def reset_abstain_bound(self) -> None:
        """A newer set is known: the older one could not tell how high I may have signed."""
        if self.abstaining:
            self.abstain_until = None
            self.probe_answers.clear()

    def restart_timers(self) -> None:
        """A new primary owes nothing of what the old one let wait."""
        for waiting in self.pending.values():
            waiting.since, waiting.forwarded = self.ticks, False
        self.change_since = self.ticks

    def reply(self, client: str, cached: Cached) -> None:
        """Tell a client, with the word receipts are made of while it is at hand."""
        if not self.member:
            return
        attestation = self.attestations.get(cached.height)
        answer = (cached.sequence, cached.height, cached.result, attestation)
        message = Reply(self.me, b"", self.configuration.epoch, client, *answer)
        self.send(client, self.sign(message))

    # what a log that is rewritten must hold

    def entries(self) -> Iterator[LogRecord]:
        yield self.stable_entry()
        if self.abstaining:
            yield Abstaining(self.abstain_until)
        if self.new_view is not None:
            yield self.new_view
        if not self.active and self.me in self.view_changes:
            yield self.view_changes[self.me]
        for height in sorted(self.log.slots):
            yield from self._slot_entries(self.log.slots[height])

    def stable_entry(self) -> Stable:
        snapshot = self.snapshots.get(self.log.low) or self.genesis_state()
        return Stable(self.log.stable, snapshot.state, snapshot.sessions, tuple(self.links))

    def genesis_state(self) -> StateSnapshot:
        return StateSnapshot(genesis_state(self.genesis), ())

    def _slot_entries(self, slot: Slot) -> Iterator[LogRecord]:
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
