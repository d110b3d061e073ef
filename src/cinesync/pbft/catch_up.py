"""State transfer: a replica that lags gets what it lacks, and one that lost its log abstains.

The paper leaves this to "standard techniques". Theory of operation:

Status. Every `status_ticks` a replica broadcasts its epoch, view, executed height and stable
height. A peer compares it with the status before. If the two are equal the replica does not
advance by itself, so the peer sends what it lacks: the new-view or view-change, up to
`resend_max` heights (the commit certificate if decided, else the peer's own votes), checkpoint
votes, the stable certificate, and links to newer epochs.

Blocks. A new view, or a quorum of commits, may choose a digest whose block is not here. The replica
asks all peers for the block and checks it by its digest.

State. A stable certificate above the executed height starts a `Transfer`. After
TRANSFER_DELAY_TICKS (the blocks may still arrive) the replica fetches the state, then its chunks
one after the other, each tick from the next peer until one answers. The certificate proves the
state, the state proves the session table and, through the manifest, each chunk.

Lost log. A replica without its log may have signed anything. It probes the others for their stable
checkpoints and computes a height below which all that it signed must lie (see `on_probe_answer`).
It signs no vote until that height is stable.

Every answer proves itself; a replica believes no peer.
"""

from typing import Final

from cinesync.pbft import certificates, checkpoint, ordering
from cinesync.pbft.core import Core, Transfer
from cinesync.pbft.log import Abstaining, Slot, matching
from cinesync.pbft.messages import (
    BlockFound,
    ChunkFound,
    Decided,
    EpochLinks,
    FetchBlock,
    FetchChunk,
    FetchState,
    Probe,
    ProbeAnswer,
    ReplicaStatus,
    StateFound,
    digest_of,
)
from cinesync.pbft.sessions import sessions_digest

LINKS_PER_ANSWER: Final = 16
PEERS_MAX: Final = 512
TRANSFER_DELAY_TICKS: Final = 2  # before state is fetched that may still come by itself

# status of the peers


def on_status(core: Core, sender: int | str, status: ReplicaStatus) -> None:
    """Send a peer what it lacks, if it has not advanced since its last status."""
    if sender not in core.peers and len(core.peers) >= PEERS_MAX:
        return
    is_stuck = core.peers.get(sender) == status
    core.peers[sender] = status
    if status.epoch < core.configuration.epoch:
        links = core.links[status.epoch : status.epoch + LINKS_PER_ANSWER]
        core.send(sender, EpochLinks(tuple(links)))
    if status.stable < core.log.low:
        core.send(sender, core.log.stable)
    if not is_stuck or status.epoch != core.configuration.epoch:
        return
    _resend_view(core, sender, status)
    _resend_heights(core, sender, status)


def _resend_view(core: Core, sender: int | str, status: ReplicaStatus) -> None:
    behind = status.view < core.view or (status.view == core.view and not status.active)
    if not behind:
        return
    if core.active and core.new_view is not None:
        core.send(sender, core.new_view)
    elif not core.active and core.me in core.view_changes:
        core.send(sender, core.view_changes[core.me])


def _resend_heights(core: Core, sender: int | str, status: ReplicaStatus) -> None:
    first = max(status.executed, core.log.low) + 1
    for height in range(first, first + core.parameters.resend_max):
        slot = core.log.slots.get(height)
        if slot is not None:
            _resend_slot(core, sender, slot)
    for height, votes in sorted(core.checkpoints.items()):
        if height > status.stable and core.me in votes:
            core.send(sender, votes[core.me])


def _resend_slot(core: Core, sender: int | str, slot: Slot) -> None:
    if slot.decided is not None:
        core.send(sender, slot.decided)
        return
    if slot.proposal is not None and slot.proposal.replica == core.me:
        core.send(sender, ordering.with_block(slot, slot.proposal))
    for vote in (slot.prepares.get(core.me), slot.commits.get(core.me)):
        if vote is not None:
            core.send(sender, vote)


def on_decided(core: Core, _sender: int | str, proof: Decided) -> None:
    slot = core.log.slot(proof.height)
    if slot is None or slot.decided is not None or proof.height <= core.executed:
        return
    if certificates.decided(core.keys, core.configuration, proof):
        slot.decided = proof
        slot.keep(proof.digest, proof.block)
        core.persist(proof)


def on_links(core: Core, _sender: int | str, message: EpochLinks) -> None:
    """Learn newer configurations: each is signed by the one before."""
    for link in message.links:
        epoch = link.state.configuration.epoch
        if epoch not in core.configurations and certificates.links(
            core.keys, core.configurations, link
        ):
            core.configurations[epoch] = link.state.configuration
            core.links.append(link)
            core.reset_abstain_bound()
            core.compact = True


# blocks whose digest a new view or a quorum chose


def fetch_blocks(core: Core) -> None:
    for height in range(core.executed + 1, core.executed + 1 + core.parameters.resend_max):
        slot = core.log.slots.get(height)
        digest = None if slot is None else _missing(core, slot)
        if digest is not None:
            core.broadcast(FetchBlock(height, digest))


def _missing(core: Core, slot: Slot) -> bytes | None:
    if slot.awaited is not None:
        return slot.awaited.digest
    if slot.decided is None:
        for commit in slot.commits.values():
            votes = matching(slot.commits, commit.view, commit.digest)
            if len(votes) >= core.configuration.quorum and commit.digest not in slot.blocks:
                return commit.digest
    return None


def on_fetch_block(core: Core, sender: int | str, message: FetchBlock) -> None:
    slot = core.log.slots.get(message.height)
    block = None if slot is None else slot.blocks.get(message.digest)
    if block is not None:
        core.send(sender, BlockFound(message.height, block))


def on_block_found(core: Core, _sender: int | str, message: BlockFound) -> None:
    slot = core.log.slots.get(message.height)
    digest = digest_of(message.block)
    if slot is None or _missing(core, slot) != digest:
        return
    slot.keep(digest, message.block)
    if slot.awaited is not None and core.active and core.may_vote:
        ordering.accept(core, slot, slot.awaited, message.block)
    for commit in list(slot.commits.values()):
        ordering.decide(core, slot, commit)


# the state that a checkpoint certificate names


def fetch_state(core: Core) -> None:
    """Fetch what is missing, each tick from the next peer."""
    transfer = core.transfer
    if transfer is None or core.ticks - transfer.since < TRANSFER_DELAY_TICKS or not core.others:
        return
    peer = core.others[transfer.attempts % len(core.others)]
    transfer.attempts += 1
    _ask(core, transfer, peer)


def _ask(core: Core, transfer: Transfer, peer: int | str) -> None:
    height = transfer.proof.height
    if transfer.state is None:
        core.send(peer, FetchState(height))
    elif transfer.received < transfer.state.chunks:
        core.send(peer, FetchChunk(height, transfer.received))
    elif core.application.restore(height, transfer.state.manifest):
        checkpoint.install(core, transfer.proof, transfer.state, transfer.sessions)


def on_fetch_state(core: Core, sender: int | str, message: FetchState) -> None:
    snapshot = core.snapshots.get(message.height)
    if snapshot is not None:
        core.send(sender, StateFound(snapshot.state, snapshot.sessions))
    elif message.height < core.log.low:
        core.send(sender, core.log.stable)


def on_state_found(core: Core, sender: int | str, message: StateFound) -> None:
    transfer = core.transfer
    if (
        transfer is not None
        and transfer.state is None
        and certificates.names(transfer.proof, message.state)
        and message.state.sessions == sessions_digest(message.sessions)
    ):
        transfer.state, transfer.sessions = message.state, message.sessions
        _ask(core, transfer, sender)


def on_fetch_chunk(core: Core, sender: int | str, message: FetchChunk) -> None:
    if message.height in core.snapshots:
        data = core.application.chunk(message.height, message.index)
        if data is not None:
            core.send(sender, ChunkFound(message.height, message.index, data))


def on_chunk_found(core: Core, sender: int | str, message: ChunkFound) -> None:
    transfer = core.transfer
    if transfer is None or transfer.state is None or transfer.received >= transfer.state.chunks:
        return
    expected = (transfer.proof.height, transfer.received)
    if (message.height, message.index) == expected and core.application.receive(
        message.height, transfer.state.manifest, message.index, message.data
    ):
        transfer.received += 1
        _ask(core, transfer, sender)


# a replica that lost its log


def on_probe(core: Core, sender: int | str, message: Probe) -> None:
    core.send(sender, ProbeAnswer(message.nonce, core.log.stable))


def on_probe_answer(core: Core, sender: int | str, message: ProbeAnswer) -> None:
    """Abstain up to four windows above the newest checkpoint that a quorum of peers proves.

    The lost stable checkpoint s had f + 1 honest signers besides this replica. One of them is in
    any quorum of the others. None applies more than a window above its own stable checkpoint, so
    the newest proven one is at least s - L. This replica signed nothing above s + L. Once s + 3L is
    stable, every quorum has a checkpoint above s + L, so no new view counts a view-change that
    this replica may have forgotten.
    """
    if not core.abstaining or core.abstain_until is not None or message.nonce != core.nonce:
        return
    votes = isinstance(sender, int) and core.newest.key(sender) is not None
    if not votes or not checkpoint.trusted(core, message.proof):
        return
    checkpoint.learn(core, message.proof)
    core.probe_answers[sender] = message.proof.height
    if len(core.probe_answers) >= core.newest.quorum:
        core.abstain_until = max(core.probe_answers.values()) + 4 * core.parameters.window
        core.persist(Abstaining(core.abstain_until))


def _is_busy(core: Core) -> bool:
    """Whether anything is in progress, so that a replica that does not advance lacks something."""
    return bool(
        core.pending
        or core.change
        or core.transfer
        or core.abstaining
        or not core.active
        or any(height > core.executed for height in core.log.slots)
    )


def on_tick(core: Core) -> None:
    fetch_blocks(core)
    fetch_state(core)
    if core.ticks % core.parameters.status_ticks:
        return
    marks = (core.view, core.active, core.executed, core.log.low)
    status = ReplicaStatus(core.configuration.epoch, *marks)
    if status != core.announced or core.ticks % core.parameters.idle_ticks == 0 or _is_busy(core):
        core.announced = status
        core.broadcast(status)
    if core.abstaining and core.abstain_until is None:
        core.broadcast(Probe(core.nonce))
