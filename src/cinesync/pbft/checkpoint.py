"""Checkpoints: agree on the state itself, then forget the past (OSDI'99, section 4.3).

A configuration ordered at height m takes effect at the checkpoint e = ceil(m / K) * K + L - K. No
replica can have accepted anything above e without having applied m: that needs a stable checkpoint
above e - L, hence not below m. So epochs never overlap, and the quorum that signs checkpoint e
signs, in its state, the set that comes next.
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
    """A quorum signed another state than the one computed here: this validator must stop."""


def effective_height(core: Core, height: int) -> int:
    interval = core.parameters.interval
    return -(-height // interval) * interval + core.parameters.window - interval


def take(core: Core) -> None:
    """Keep the state just reached and tell its digest to the others."""
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
    """Stable: a quorum of equal digests."""
    votes = core.checkpoints.get(height, {})
    for vote in list(votes.values()):
        proof = matching_checkpoints(votes, vote)
        if len(proof.votes) >= core.configuration.quorum:
            learn(core, proof)
            return


def learn(core: Core, proof: StableProof) -> None:
    """Move the low mark, or remember where the others are and let catch_up go there."""
    if proof.height <= core.log.low:
        return
    snapshot = core.snapshots.get(proof.height)
    if snapshot is not None:
        if not certificates.names(proof, snapshot.state):
            raise Diverged(f"height {proof.height}")
        stabilise(core, proof)
    else:
        core.await_state(proof)


def stabilise(core: Core, proof: StableProof) -> None:
    previous = core.log.low
    core.log.advance_low_mark(proof)
    core.checkpoints = {h: votes for h, votes in core.checkpoints.items() if h > proof.height}
    core.attestations = {h: word for h, word in core.attestations.items() if h > previous}
    core.snapshots = {h: kept for h, kept in core.snapshots.items() if h >= previous}
    core.application.discard(previous)  # the disk may still name the previous one
    core.compact = True
    _resume_voting(core)
    if core.transfer is not None and core.transfer.proof.height <= proof.height:
        core.transfer = None
    state = core.snapshots[proof.height].state
    if state.configuration.epoch > core.configuration.epoch:
        _enter_epoch(core, proof, state)


def _resume_voting(core: Core) -> None:
    """A replica that lost its log may vote once it stands above all it can have signed."""
    if core.abstain_until is not None and core.log.low >= core.abstain_until:
        core.abstaining, core.abstain_until = False, None


def _enter_epoch(core: Core, proof: StableProof, state: CheckpointState) -> None:
    """The next set starts in view 0 with an empty log above a checkpoint its elders signed."""
    if len(core.links) < state.configuration.epoch:
        core.links.append(EpochLink(proof, state))
        core.reset_abstain_bound()
    core.configuration = state.configuration
    core.configurations[state.configuration.epoch] = state.configuration
    core.change = None
    core.log.ceiling = None
    core.log.slots.clear()
    core.checkpoints.clear()
    core.view, core.active, core.attempts, core.deadline = 0, True, 0, None
    core.view_changes, core.new_view, core.new_view_high = {}, None, 0
    core.restart_timers()


def install(
    core: Core, proof: StableProof, state: CheckpointState, sessions: tuple[ClientSession, ...]
) -> None:
    """Become the state a quorum signed, the application having restored its part."""
    core.executed, core.time = state.height, state.time
    core.sessions = SessionTable(sessions)
    set_change(core, state.change)
    core.snapshots[state.height] = StateSnapshot(state, sessions)
    core.pending = {
        key: waiting
        for key, waiting in core.pending.items()
        if core.sessions.is_new(waiting.request)
    }
    stabilise(core, proof)


def set_change(core: Core, change: ConfigurationChange | None) -> None:
    core.change, core.change_since = change, core.ticks
    core.log.ceiling = None if change is None else change.height
