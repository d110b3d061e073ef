"""What was statements, in lines a person can read: the golden files under scenarios/."""

from collections.abc import Iterable

from cinesync.pbft.messages import (
    Checkpoint,
    ChunkFound,
    Commit,
    ConsensusBlock,
    Decided,
    EpochLinks,
    FetchChunk,
    FetchState,
    NewView,
    PbftMessage,
    Prepare,
    PreparedProof,
    PrePrepare,
    Probe,
    ProbeAnswer,
    ReplicaStatus,
    Reply,
    Request,
    StableProof,
    StateFound,
    ViewChange,
    decode,
)
from tests.simulation.simulation import TICK, Simulation

QUIET = (ReplicaStatus, Probe)
_EMPTY = ConsensusBlock(0, ())


def _short(digest: bytes) -> str:
    return digest.hex()[:6] if any(digest) else "null"


def _proofs(proofs: Iterable[PreparedProof]) -> str:
    return " ".join(f"{p.height}:{_short(p.digest)}@v{p.view}" for p in proofs) or "nothing"


def line(message: PbftMessage) -> str:  # noqa: C901, PLR0911, PLR0912  one short case for each message
    match message:
        case Request():
            return f"request {message.client}#{message.sequence}"
        case PrePrepare():
            batch = " ".join(f"{r.client}#{r.sequence}" for r in (message.block or _EMPTY).requests)
            return (
                f"pre-prepare v{message.view} n{message.height} {_short(message.digest)} [{batch}]"
            )
        case Prepare() | Commit():
            name = type(message).__name__.lower()
            return f"{name} v{message.view} n{message.height} {_short(message.digest)}"
        case Checkpoint():
            return f"checkpoint n{message.height} {_short(message.digest)}"
        case ViewChange():
            stable, prepared = message.stable.height, _proofs(message.prepared)
            return f"view-change to v{message.view}: stable n{stable}, prepared {prepared}"
        case NewView():
            voters = ",".join(str(m.replica) for m in message.view_changes)
            chosen = " ".join(f"{m.height}:{_short(m.digest)}" for m in message.pre_prepares)
            return f"new-view v{message.view} from {voters}: {chosen or 'nothing to repeat'}"
        case Decided():
            return f"decided n{message.height} {_short(message.digest)} by {len(message.votes)}"
        case StableProof():
            return f"stable n{message.height} by {len(message.votes)}"
        case Reply():
            return f"reply {message.client}#{message.sequence} = {message.result.decode()}"
        case EpochLinks():
            return f"links to epoch {message.links[-1].state.configuration.epoch}"
        case FetchState():
            return f"fetch state n{message.height}"
        case StateFound():
            return f"state n{message.state.height}, {message.state.chunks} chunks"
        case FetchChunk() | ChunkFound():
            verb = "fetch" if isinstance(message, FetchChunk) else "here is"
            return f"{verb} chunk {message.index} of n{message.height}"
        case ProbeAnswer():
            return f"you may have signed near n{message.proof.height}"
        case _:
            return type(message).__name__.lower()


class Transcript:
    """Listens to a simulation; equal frames to several receivers become one line."""

    def __init__(self, sim: Simulation) -> None:
        self.lines: list[str] = []
        self._sim = sim
        self._receivers: list[str] = []
        self._recorded: set[tuple[int, int | str, bytes, bool]] = set()
        self._last: tuple[int, int, bytes] | None = None
        self._start = sim.time
        sim.trace = self._record

    def comment(self, text: str) -> None:
        self.lines += ["", f"# {text}"]
        self._last = None

    def _record(self, source: int, to: int | str, frame: bytes) -> None:
        message = decode(frame)
        if isinstance(message, QUIET):
            return
        lost = self._sim.loses(source, to, frame)
        if (source, to, frame, lost) in self._recorded:
            return  # statements again, with the same outcome
        self._recorded.add((source, to, frame, lost))
        mark = f"{to}(lost)" if lost else str(to)
        key = (self._sim.time, source, frame)
        if self._last == key:
            self._receivers.append(mark)
            self.lines.pop()
        else:
            self._receivers = [mark]
        ticks = (self._sim.time - self._start) / TICK
        self.lines.append(f"{ticks:5.1f}  {source} → {','.join(self._receivers)}: {line(message)}")
        self._last = key

    def text(self) -> str:
        return "\n".join(self.lines).strip() + "\n"
