"""Checkpoints: agree on the state, then delete the log below it (OSDI'99, section 4.3).

A configuration ordered at height m takes effect at the checkpoint e = ceil(m / K) * K + L - K. To
accept anything above e, a replica needs a stable checkpoint above e - L, which is not below m: it
has applied m. So epochs never overlap. The quorum that signs checkpoint e signs a state that names
the next configuration.
"""

from cinesync.pbft import certificates
from cinesync.pbft.core import Core, StateSnapshot
from cinesync.pbft.log import matching_checkpoints
from cinesync.pbft.messages import (
    Checkpoint,
    CheckpointState,
    ClientSession,
    Configuration,
    ConfigurationChange,
    EpochLink,
    StableProof,
    digest,
)
from cinesync.pbft.sessions import SessionTable, sessions_digest


class Diverged(Exception):
    """A quorum signed another state than this validator computed: it must stop."""


def effective_height(core: Core, height: int) -> int:
    interval = core.parameters.interval
    return -(-height // interval) * interval + core.parameters.window - interval


def take(core: Core) -> None:
    """Snapshot the current state and broadcast its digest."""
    snapshot = core.application.snapshot(core.executed)
    sessions = core.sessions.freeze()
    state = CheckpointState(
        core.executed,
        core.time,
        _configuration_above(core),
        None if _change_is_due(core) else core.change,
        sessions_digest(sessions),
        snapshot.manifest,
        snapshot.chunks,
    )
    core.snapshots[core.executed] = StateSnapshot(state, sessions)
    if core.member:
        claim = (core.configuration.epoch, core.executed, digest(state))
        message = core.sign(Checkpoint(core.me, b"", *claim))
        core.checkpoints.setdefault(core.executed, {})[core.me] = message
        core.broadcast(message)
    if core.transfer is not None and core.transfer.proof.height == core.executed:
        learn(core, core.transfer.proof)
    check_stable(core, core.executed)


def _change_is_due(core: Core) -> bool:
    return core.change is not None and core.change.height == core.executed


def _configuration_above(core: Core) -> Configuration:
    due = core.change is not None and _change_is_due(core)
    return core.change.configuration if due and core.change else core.configuration


def on_checkpoint(core: Core, _sender: int | str, message: Checkpoint) -> None:
    height = message.height
    in_window = core.log.low < height <= core.log.low + core.parameters.window
    if not in_window or height % core.parameters.interval:
        return
    votes = core.checkpoints.setdefault(height, {})
    if message.replica not in votes and core.signed(message):
        votes[message.replica] = message
        check_stable(core, height)


def on_stable_proof(core: Core, _sender: int | str, proof: StableProof) -> None:
    if proof.height > core.log.low and trusted(core, proof):
        learn(core, proof)


def trusted(core: Core, proof: StableProof) -> bool:
    return proof == core.log.stable or certificates.stable(core.keys, core.configurations, proof)


def check_stable(core: Core, height: int) -> None:
    """Make the checkpoint stable once a quorum signed equal digests."""
    votes = core.checkpoints.get(height, {})
    for vote in list(votes.values()):
        proof = matching_checkpoints(votes, vote)
        if len(proof.votes) >= core.configuration.quorum:
            learn(core, proof)
            return


def learn(core: Core, proof: StableProof) -> None:
    """Advance the low mark, or note the checkpoint for catch_up to fetch."""
    if proof.height <= core.log.low:
        return
    snapshot = core.snapshots.get(proof.height)
    if snapshot is not None:
        if not certificates.names(proof, snapshot.state):
            raise Diverged(f"height {proof.height}")
        make_stable(core, proof)
    else:
        core.await_state(proof)


def make_stable(core: Core, proof: StableProof) -> None:
    previous = core.log.low
    core.log.advance_low_mark(proof)
    core.checkpoints = {h: votes for h, votes in core.checkpoints.items() if h > proof.height}
    core.attestations = {h: one for h, one in core.attestations.items() if h > previous}
    core.snapshots = {h: one for h, one in core.snapshots.items() if h >= previous}
    core.application.discard(previous)  # the log on disk may still name `previous`
    core.compact = True
    _resume_voting(core)
    if core.transfer is not None and core.transfer.proof.height <= proof.height:
        core.transfer = None
    state = core.snapshots[proof.height].state
    if state.configuration.epoch > core.configuration.epoch:
        _enter_epoch(core, proof, state)


def _resume_voting(core: Core) -> None:
    """End abstaining once the stable checkpoint is above all that this replica may have signed."""
    if core.abstain_until is not None and core.log.low >= core.abstain_until:
        core.abstaining, core.abstain_until = False, None


def _enter_epoch(core: Core, proof: StableProof, state: CheckpointState) -> None:
    """Start the next epoch in view 0, with an empty log above the last checkpoint."""
    if len(core.links) < state.configuration.epoch:
        core.links.append(EpochLink(proof, state))
        core.reset_abstain_bound()
    core.configuration = state.configuration
    core.configurations[state.configuration.epoch] = state.configuration
    core.change = None
    core.log.epoch_end = None
    core.log.slots.clear()
    core.checkpoints.clear()
    core.view, core.active, core.failed_views, core.deadline = 0, True, 0, None
    core.view_changes, core.new_view, core.new_view_high = {}, None, 0
    core.restart_timers()


def install(
    core: Core, proof: StableProof, state: CheckpointState, sessions: tuple[ClientSession, ...]
) -> None:
    """Load the state that a quorum signed; the application has restored its part."""
    core.executed, core.time = state.height, state.time
    core.sessions = SessionTable(sessions)
    set_change(core, state.change)
    core.snapshots[state.height] = StateSnapshot(state, sessions)
    core.pending = {
        key: waiting
        for key, waiting in core.pending.items()
        if core.sessions.is_new(waiting.request)
    }
    make_stable(core, proof)


def set_change(core: Core, change: ConfigurationChange | None) -> None:
    core.change, core.change_since = change, core.ticks
    core.log.epoch_end = None if change is None else change.height
