"""The replica as a driver uses it: step, tick, ready, advance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cinesync.pbft import catch_up, checkpoint, execution, ordering, view_change
from cinesync.pbft.core import GENESIS, Core, genesis_state
from cinesync.pbft.log import RecordChain, Stable
from cinesync.pbft.messages import (
    BlockFound,
    Checkpoint,
    ChunkFound,
    Commit,
    Configuration,
    Decided,
    EpochLinks,
    FetchBlock,
    FetchChunk,
    FetchState,
    NewView,
    Prepare,
    PrePrepare,
    Probe,
    ProbeAnswer,
    ReplicaStatus,
    Request,
    StableProof,
    StateFound,
    ViewChange,
    Wire,
    decode,
    encode,
)
from cinesync.pbft.ports import Application, Keys, Parameters
from cinesync.pbft.recovery import recover

MessageHandler = Callable[[Core, int | str, Any], None]

HANDLERS: Final[dict[type[Wire], MessageHandler]] = {
    Request: ordering.on_request,
    PrePrepare: ordering.on_pre_prepare,
    Prepare: ordering.on_prepare,
    Commit: ordering.on_commit,
    Checkpoint: checkpoint.on_checkpoint,
    StableProof: checkpoint.on_stable_proof,
    ViewChange: view_change.on_view_change,
    NewView: view_change.on_new_view,
    ReplicaStatus: catch_up.on_status,
    Decided: catch_up.on_decided,
    EpochLinks: catch_up.on_links,
    FetchBlock: catch_up.on_fetch_block,
    BlockFound: catch_up.on_block_found,
    FetchState: catch_up.on_fetch_state,
    StateFound: catch_up.on_state_found,
    FetchChunk: catch_up.on_fetch_chunk,
    ChunkFound: catch_up.on_chunk_found,
    Probe: catch_up.on_probe,
    ProbeAnswer: catch_up.on_probe_answer,
}


@dataclass(frozen=True, slots=True)
class Send:
    to: int | str  # a validator, or a client by name
    frame: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """What to do, in this order. A failed write is fatal: neither send nor apply, but stop."""

    replace: bool  # the records replace the whole log, atomically
    records: tuple[bytes, ...]  # persist, durably
    sends: tuple[Send, ...]  # then send
    blocks: tuple[Decided, ...]  # then, in `advance`, apply

    def __bool__(self) -> bool:
        return bool(self.records or self.sends or self.blocks)


NOTHING: Final = Ready(replace=False, records=(), sends=(), blocks=())


class Replica:
    """One validator's state machine of the protocol.

    records: the log as persisted, oldest first; `initial_log(genesis)` for a new validator.
    The replica treats an empty or damaged log as lost: it then abstains from voting until it
    cannot contradict anything that it may have signed.
    nonce: differs at each start, so that late answers to an earlier probe do not count.
    """

    def __init__(
        self,
        me: int,
        genesis: Configuration,
        keys: Keys,
        application: Application,
        records: Sequence[bytes],
        *,
        nonce: int,
        parameters: Parameters | None = None,
    ) -> None:
        self.core = Core(me, genesis, keys, application, parameters or Parameters(), nonce)
        self._records = RecordChain()
        recover(self.core, records)

    def step(self, sender: int | str, frame: bytes, now: int) -> None:
        """Process a frame. The transport authenticated `sender`: a validator, or a client by name.

        now: the local clock, in the unit of block times. Raises MalformedMessage if the bytes are
        not a message, Diverged if a quorum contradicts this validator's own state.
        """
        self.core.now = now
        message = decode(frame)
        handler = HANDLERS.get(type(message))
        if handler is not None and (isinstance(sender, int) or isinstance(message, Request)):
            handler(self.core, sender, message)

    def tick(self, now: int) -> None:
        """Advance the timers by one tick."""
        self.core.now = now
        self.core.ticks += 1
        view_change.on_tick(self.core)
        ordering.on_tick(self.core)
        catch_up.on_tick(self.core)

    def ready(self) -> Ready:
        """What follows from all steps so far. The primary proposes here, so that steps batch up."""
        core = self.core
        if (core.pending or core.change) and core.primary == core.me:
            ordering.propose(core)
        blocks = execution.decided(core)
        replace = core.compact
        if not (replace or core.records or core.outbox or blocks):
            return NOTHING
        if replace:
            self._records = RecordChain()
        log_records = list(core.log_records()) if replace else core.records
        records = tuple(self._records.encode(record) for record in log_records)
        sends = tuple(_frames(core))
        core.records, core.outbox, core.compact = [], [], False
        return Ready(replace, records, sends, blocks)

    def advance(self, ready: Ready) -> None:
        """Apply the blocks, once the records are durable and the frames are sent."""
        for proof in ready.blocks:
            execution.apply(self.core, proof)


def _frames(core: Core) -> Sequence[Send]:
    """Frames of the outbox; a broadcast is encoded once."""
    sends, last, frame = [], None, b""
    for to, message in core.outbox:
        if message is not last:
            last, frame = message, encode(message)
        sends.append(Send(to, frame))
    return sends


def initial_log(genesis: Configuration) -> tuple[bytes, ...]:
    """The log of a validator that has never voted; provisioning writes it once."""
    return (RecordChain().encode(Stable(GENESIS, genesis_state(genesis), (), ())),)
