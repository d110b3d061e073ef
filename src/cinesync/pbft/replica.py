"""The replica a driver holds: step, tick, ready, advance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cinesync.pbft import catch_up, checkpoint, execution, ordering, view_change
from cinesync.pbft.core import GENESIS, Core, beginning
from cinesync.pbft.log import Journal, Stable
from cinesync.pbft.messages import (
    BlockFound,
    Checkpoint,
    ChunkFound,
    Commit,
    Configuration,
    Decided,
    FetchBlock,
    FetchChunk,
    FetchState,
    Links,
    NewView,
    Prepare,
    PrePrepare,
    Probe,
    ProbeAnswer,
    Request,
    StableProof,
    StateFound,
    Status,
    ViewChange,
    Wire,
    decode,
    encode,
)
from cinesync.pbft.ports import Application, Keys, Parameters
from cinesync.pbft.recovery import recover

Handler = Callable[[Core, int | str, Any], None]

HANDLERS: Final[dict[type[Wire], Handler]] = {
    Request: ordering.on_request,
    PrePrepare: ordering.on_pre_prepare,
    Prepare: ordering.on_prepare,
    Commit: ordering.on_commit,
    Checkpoint: checkpoint.on_checkpoint,
    StableProof: checkpoint.on_stable_proof,
    ViewChange: view_change.on_view_change,
    NewView: view_change.on_new_view,
    Status: catch_up.on_status,
    Decided: catch_up.on_decided,
    Links: catch_up.on_links,
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
    """Do these in this order. A failed write is fatal: neither send nor apply, but stop."""

    replace: bool  # the records replace the whole log, at once or not at all
    records: tuple[bytes, ...]  # persist, durably
    sends: tuple[Send, ...]  # then send
    blocks: tuple[Decided, ...]  # then, in `advance`, apply

    def __bool__(self) -> bool:
        return bool(self.records or self.sends or self.blocks)


NOTHING: Final = Ready(replace=False, records=(), sends=(), blocks=())


class Replica:
    """One validator's part in the agreement.

    records: the log as persisted, oldest first; `birth(genesis)` for a validator that never ran.
    An empty or damaged log is taken for a lost one: the replica then abstains from voting until
    it cannot contradict what it may have signed.
    nonce: differs at each start, so that old answers are not taken for new ones.
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
        self._journal = Journal()
        recover(self.core, records)

    def step(self, sender: int | str, frame: bytes, now: int) -> None:
        """Take a frame from a validator or, by name, a client, as the transport authenticated it.

        now: the local clock, in the unit of block times. Raises Refused if these bytes are no
        message, Diverged if a quorum contradicts this validator's own state.
        """
        self.core.now = now
        message = decode(frame)
        handler = HANDLERS.get(type(message))
        if handler is not None and (isinstance(sender, int) or isinstance(message, Request)):
            handler(self.core, sender, message)

    def tick(self, now: int) -> None:
        """Let one unit of patience pass."""
        self.core.now = now
        self.core.ticks += 1
        view_change.on_tick(self.core)
        ordering.on_tick(self.core)
        catch_up.on_tick(self.core)

    def ready(self) -> Ready:
        """What follows from everything so far; the primary proposes here, so steps batch up."""
        core = self.core
        if (core.pending or core.change) and core.primary == core.me:
            ordering.propose(core)
        blocks = execution.decided(core)
        replace = core.compact
        if not (replace or core.records or core.outbox or blocks):
            return NOTHING
        if replace:
            self._journal = Journal()
        entries = list(core.entries()) if replace else core.records
        records = tuple(self._journal.seal(entry) for entry in entries)
        sends = tuple(_frames(core))
        core.records, core.outbox, core.compact = [], [], False
        return Ready(replace, records, sends, blocks)

    def advance(self, ready: Ready) -> None:
        """Apply, once the records are durable and the frames are on their way."""
        for proof in ready.blocks:
            execution.apply(self.core, proof)


def _frames(core: Core) -> Sequence[Send]:
    """A broadcast is encoded once."""
    sends, last, frame = [], None, b""
    for to, message in core.outbox:
        if message is not last:
            last, frame = message, encode(message)
        sends.append(Send(to, frame))
    return sends


def birth(genesis: Configuration) -> tuple[bytes, ...]:
    """The log of a validator that has never voted. Written once, when its keys are made."""
    return (Journal().seal(Stable(GENESIS, beginning(genesis), (), ())),)
