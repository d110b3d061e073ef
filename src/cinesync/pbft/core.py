"""One replica's memory, and the few verbs every rule uses: sign, check, persist, send."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from cinesync.pbft import certificates
from cinesync.pbft.log import Abstaining, Accepted, Content, Entry, Log, Prepared, Slot, Stable
from cinesync.pbft.messages import (
    NULL_DIGEST,
    Attestation,
    Cached,
    Change,
    Checkpoint,
    Configuration,
    Link,
    Message,
    NewView,
    Reply,
    Request,
    Session,
    Signed,
    StableProof,
    State,
    Status,
    ViewChange,
    payload,
)
from cinesync.pbft.ports import Application, Keys, Parameters
from cinesync.pbft.sessions import SessionTable

S = TypeVar("S", bound=Signed)
GENESIS = StableProof(epoch=0, height=0, digest=NULL_DIGEST, votes=())


@dataclass(slots=True)
class Waiting:
    """A request and the tick since which this view's primary has owed it a block."""

    request: Request
    since: int
    handed: bool = False  # to this primary, by me


@dataclass(slots=True)
class Transfer:
    """State on its way here from another replica, named by a checkpoint certificate."""

    proof: StableProof
    since: int
    state: State | None = None
    sessions: tuple[Session, ...] = ()
    received: int = 0
    asked: int = 0  # how many peers have been asked; the next one is another


@dataclass(slots=True)
class Kept:
    """A state others may fetch."""

    state: State
    sessions: tuple[Session, ...]


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
    links: list[Link] = field(default_factory=list)
    change: Change | None = None
    change_since: int = 0

    view: int = 0
    active: bool = True  # False from the view-change sent to the new-view received
    log: Log = field(init=False)
    executed: int = 0
    time: int = 0
    sessions: SessionTable = field(default_factory=SessionTable)
    attestations: dict[int, Attestation] = field(default_factory=dict)
    pending: dict[tuple[str, int], Waiting] = field(default_factory=dict)

    checkpoints: dict[int, dict[int, Checkpoint]] = field(default_factory=dict)
    kept: dict[int, Kept] = field(default_factory=dict)
    view_changes: dict[int, ViewChange] = field(default_factory=dict)
    new_view: NewView | None = None
    floor: int = 0  # heights up to here were the new view's to choose, not the primary's
    attempts: int = 0  # view changes since something was last applied
    deadline: int | None = None  # of the new view, once a quorum asked for it

    transfer: Transfer | None = None
    abstaining: bool = False
    abstain_until: int | None = None
    answers: dict[int | str, int] = field(default_factory=dict)
    peers: dict[int | str, Status] = field(default_factory=dict)
    told: Status | None = None  # where the others think I stand

    ticks: int = 0
    now: int = 0
    compact: bool = False  # the next write replaces the log by what `entries` gives
    records: list[Entry] = field(default_factory=list)
    outbox: list[tuple[int | str, Message]] = field(default_factory=list)

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
    def patience(self) -> int:
        """T, 2T, 4T, … ticks (4.5.2)."""
        return self.parameters.timeout_ticks << min(self.attempts, self.parameters.doublings_max)

    # verbs

    def sign(self, message: S) -> S:
        key = self.configuration.key(self.me)
        assert key is not None
        return msgspec.structs.replace(message, signature=self.keys.sign(key, payload(message)))

    def signed(self, message: Signed) -> bool:
        return certificates.signed(self.keys, self.configuration, message)

    def persist(self, entry: Entry) -> None:
        self.records.append(entry)

    def send(self, to: int | str, message: Message) -> None:
        self.outbox.append((to, message))

    def broadcast(self, message: Message) -> None:
        self.outbox.extend((peer, message) for peer in self.others)

    def await_state(self, proof: StableProof) -> None:
        """A quorum is at this checkpoint and I am not: catch_up goes there if I stay behind."""
        behind = self.transfer
        if behind is None:
            self.transfer = Transfer(proof, self.ticks)
        elif behind.proof.height < proof.height:  # patience is not begun anew: they may be quick
            self.transfer = Transfer(proof, behind.since, asked=behind.asked)

    def doubt_bound(self) -> None:
        """A newer set is known: the older one could not tell how high I may have signed."""
        if self.abstaining:
            self.abstain_until = None
            self.answers.clear()

    def forget_patience(self) -> None:
        """A new primary owes nothing of what the old one let wait."""
        for waiting in self.pending.values():
            waiting.since, waiting.handed = self.ticks, False
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

    def entries(self) -> Iterator[Entry]:
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
        kept = self.kept.get(self.log.low) or self.beginning()
        return Stable(self.log.stable, kept.state, kept.sessions, tuple(self.links))

    def beginning(self) -> Kept:
        return Kept(beginning(self.genesis), ())

    def _slot_entries(self, slot: Slot) -> Iterator[Entry]:
        for block in slot.blocks.values():
            if block is not None:
                yield Content(slot.height, block)
        if slot.proposal is not None:
            yield Accepted(slot.proposal, slot.prepares.get(self.me))
        if slot.prepared is not None:
            yield Prepared(slot.prepared, slot.commits[self.me])
        if slot.decided is not None:
            yield slot.decided_record()


def beginning(genesis: Configuration) -> State:
    return State(0, 0, genesis, None, bytes(32), b"", 0)
