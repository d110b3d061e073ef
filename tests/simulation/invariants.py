"""The invariants of every run, checked from outside over frames sent and blocks applied."""

from cinesync.pbft.messages import (
    Attestation,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Reply,
    ViewChange,
    decode,
)
from cinesync.pbft.replica import Replica

SignedStatement = PrePrepare | Prepare | Commit | Checkpoint | Attestation
TOPICS = (PrePrepare, Prepare, Commit, Checkpoint, Attestation)


class InvariantViolated(AssertionError):
    """An invariant does not hold."""


class InvariantChecker:
    """Records all that honest replicas sent and applied, across their crashes."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.statements: dict[tuple[object, ...], bytes] = {}
        self.changes: dict[tuple[int, int, int], list[tuple[int, bytes]]] = {}
        self.blocks: dict[int, bytes] = {}
        self.left: dict[tuple[int, int], ViewChange] = {}
        self.commits: dict[tuple[int, int], dict[int, int]] = {}
        self.heads: dict[int, bytes] = {}
        self.views = 0
        self._seen: set[bytes] = set()

    @property
    def frames(self) -> list[bytes]:
        return sorted(self._seen)

    def sent(self, me: int, frame: bytes) -> None:
        """No two conflicting signed messages, not across a crash either."""
        if frame in self._seen:
            return
        self._seen.add(frame)
        message = decode(frame)
        if isinstance(message, Reply) and message.attestation is not None:
            self._statement(message.attestation)
        elif isinstance(message, TOPICS) and message.replica == me:
            self._statement(message)
        elif isinstance(message, ViewChange | NewView) and message.replica == me:
            self._view_change(message, frame)

    def _statement(self, message: SignedStatement) -> None:
        view = getattr(message, "view", 0)
        about = (type(message), message.replica, message.epoch, view, message.height)
        if about in self.statements:
            if self.statements[about] != message.digest:
                raise InvariantViolated(f"conflicting statements: {about}")
            return
        self.statements[about] = message.digest
        if isinstance(message, Commit):
            self._keeps_its_word(message)
            commits = self.commits.setdefault((message.replica, message.epoch), {})
            commits[message.height] = max(view, commits.get(message.height, 0))

    def _keeps_its_word(self, message: Commit) -> None:
        """A replica that left a view commits to nothing there that its view-change omits."""
        left = self.left.get((message.replica, message.epoch))
        if left is None or message.view >= left.view:
            return
        shown = {proof.height: proof.view for proof in left.prepared}
        above = message.height - left.stable.height
        if 0 < above <= self.window and shown.get(message.height, -1) < message.view:
            raise InvariantViolated(
                f"{message.replica} commits in view {message.view}, left for {left.view}"
            )

    def _hides_nothing(self, message: ViewChange) -> None:
        """P has every height that the replica sent a commit for, in that view or a later one."""
        shown = {proof.height: proof.view for proof in message.prepared}
        low = message.stable.height
        for height, view in self.commits.get((message.replica, message.epoch), {}).items():
            if low < height <= low + self.window and shown.get(height, -1) < view:
                raise InvariantViolated(
                    f"{message.replica} hides that height {height} was prepared"
                )

    def _view_change(self, message: ViewChange | NewView, frame: bytes) -> None:
        """One per view; a validator that lost its log may send another, above its old window."""
        if isinstance(message, ViewChange):
            kind, low = 0, message.stable.height
            self.views = max(self.views, message.view)
            self._hides_nothing(message)
            self.left[message.replica, message.epoch] = message
        else:
            kind, low = 1, max(m.stable.height for m in message.view_changes)
        same = self.changes.setdefault(
            (kind, message.replica, message.view * 64 + message.epoch), []
        )
        for known_low, known in same:
            if known != frame and abs(known_low - low) <= self.window:
                raise InvariantViolated(
                    f"two view changes of {message.replica} to view {message.view}"
                )
        same.append((low, frame))

    def applied(self, replica: Replica, block: bytes, height: int, head: bytes) -> None:
        """Agreement: one block and one state at each height."""
        if self.blocks.setdefault(height, block) != block:
            raise InvariantViolated(f"two blocks at height {height}")
        if self.heads.setdefault(height, head) != head:
            raise InvariantViolated(f"two states at height {height}")
        self.bounded(replica)

    def bounded(self, replica: Replica) -> None:
        core = replica.core
        limits = core.parameters
        members = core.configuration.size
        if not (
            len(core.log.slots) <= limits.window
            and len(core.pending) <= limits.pending_max
            and len(core.checkpoints) <= limits.window
            and len(core.snapshots) <= 1 + 2 * limits.window // limits.interval
            and len(core.view_changes) <= members
            and all(len(s.prepares) <= members >= len(s.commits) for s in core.log.slots.values())
        ):
            raise InvariantViolated("unbounded memory")
