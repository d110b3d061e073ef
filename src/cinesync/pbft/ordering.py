"""The normal case: request, pre-prepare, prepare, commit (OSDI'99, sections 4.1 and 4.2)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from cinesync.pbft import certificates
from cinesync.pbft.core import Core, PendingRequest
from cinesync.pbft.log import Accepted, Prepared, Slot, is_newer_vote, matching
from cinesync.pbft.messages import (
    NULL_DIGEST,
    Commit,
    ConsensusBlock,
    Decided,
    Prepare,
    PreparedProof,
    PrePrepare,
    Request,
    Vote,
    digest_of,
    encode,
)

BLOCK_OVERHEAD: Final = 16


def on_request(core: Core, sender: int | str, request: Request) -> None:
    """Repeat a cached reply, or start to wait for the request. The primary has it too (4.1)."""
    cached = core.sessions.cached(request)
    if cached is not None:
        if isinstance(sender, str):
            core.reply(request.client, cached)
        return
    if request.key in core.pending or len(core.pending) >= core.parameters.pending_max:
        return
    if _acceptable(core, request):
        core.pending[request.key] = PendingRequest(request, core.ticks)


def on_tick(core: Core) -> None:
    """Backups forward a request to the primary after half the view timeout: it may lack it."""
    if not core.active or core.primary == core.me:
        return
    since = core.ticks - core.view_timeout // 2
    late = [one for one in core.pending.values() if one.since <= since and not one.forwarded]
    proposed = _keys(_in_flight(core).values()) if late else set()
    for waiting in late:
        waiting.forwarded = True
        if waiting.request.key not in proposed:
            core.send(core.primary, waiting.request)


def _acceptable(core: Core, request: Request) -> bool:
    """Whether a client signed it and its operations are valid. A pending request passed already."""
    known = core.pending.get(request.key)
    if known is not None and known.request == request:
        return True
    return certificates.request_signed(core.keys, core.configuration, request) and all(
        core.application.validate(operation) for operation in request.operations
    )


# the primary proposes


def propose(core: Core) -> None:
    """Propose as many blocks as the water marks and the pipeline allow."""
    while (core.pending or core.change) and _may_propose(core):
        ahead = _in_flight(core)
        height = max([core.executed, core.new_view_high, *ahead]) + 1
        slot = core.log.slot(height)
        if slot is None or height > core.executed + core.parameters.in_flight_max:
            return
        requests = tuple(_unproposed(core, ahead.values()))
        if not requests and core.change is None:
            return
        if len(ahead) >= core.parameters.partial_in_flight_max and not _is_full(core, requests):
            return
        block = ConsensusBlock(max(core.now, _time_before(core, height)), requests)
        ballot = (core.view, height, digest_of(block))
        bare = core.sign(PrePrepare(core.me, b"", core.configuration.epoch, *ballot))
        accept(core, slot, bare, block)
        core.broadcast(with_block(slot, bare))


def with_block(slot: Slot, bare: PrePrepare) -> PrePrepare:
    return msgspec.structs.replace(bare, block=slot.blocks.get(bare.digest))


def _may_propose(core: Core) -> bool:
    return (
        core.primary == core.me and core.active and core.may_vote and core.executed >= core.log.low
    )


def _in_flight(core: Core) -> dict[int, ConsensusBlock | None]:
    """Heights not yet applied that are decided, or proposed in this view, with their blocks."""
    found: dict[int, ConsensusBlock | None] = {}
    for height in [height for height in core.log.slots if height > core.executed]:
        slot = core.log.slots[height]
        if slot.decided is not None:
            found[height] = slot.decided.block
        elif slot.proposal is not None and slot.proposal.view == core.view:
            found[height] = slot.blocks.get(slot.proposal.digest)
    return found


def _is_full(core: Core, requests: Sequence[Request]) -> bool:
    """Whether these requests make a full block."""
    operations = sum(len(request.operations) for request in requests)
    limits = core.parameters
    return operations >= limits.full_operations or len(requests) >= limits.block_requests_max


def _unproposed(core: Core, ahead: Iterable[ConsensusBlock | None]) -> Iterator[Request]:
    """The oldest requests that are in no block in flight, up to the limits of a block."""
    in_flight = _keys(ahead)
    bytes_left, count = core.parameters.block_bytes_max, 0
    for key, waiting in core.pending.items():
        if key in in_flight:
            continue
        bytes_left -= len(encode(waiting.request)) + BLOCK_OVERHEAD
        count += 1
        if count > 1 and (bytes_left < 0 or count > core.parameters.block_requests_max):
            return
        yield waiting.request


def _keys(blocks: Iterable[ConsensusBlock | None]) -> set[tuple[str, int]]:
    return {request.key for block in blocks if block is not None for request in block.requests}


def _time_before(core: Core, height: int) -> int:
    """The least time that a block may have: its predecessor's, as far as known."""
    before = core.log.slots.get(height - 1)
    if before is None or before.proposal is None:
        return core.time
    block = before.blocks.get(before.proposal.digest)
    return core.time if block is None else max(core.time, block.time)


# the backups agree


def on_pre_prepare(core: Core, _sender: int | str, message: PrePrepare) -> None:
    """Accept it only if every condition of section 4.2 holds and the block is valid."""
    slot = core.log.slot(message.height)
    if (
        slot is None
        or not core.active
        or not core.may_vote
        or message.view != core.view
        or message.replica != core.primary
        or message.replica == core.me
        or message.height <= core.new_view_high
        or _already_accepted(slot, message)
        or message.digest != digest_of(message.block)
        or not core.signed(message)
        or message.block is None
        or not _is_valid_block(core, message.height, message.block)
    ):
        return
    bare = msgspec.structs.replace(message, block=None)
    accept(core, slot, bare, message.block)


def _already_accepted(slot: Slot, message: PrePrepare) -> bool:
    """Accept one digest for (view, height) only; the choice of a new view takes precedence."""
    promised = slot.awaited or slot.proposal
    return promised is not None and promised.view >= message.view


def _is_valid_block(core: Core, height: int, block: ConsensusBlock) -> bool:
    keys = [request.key for request in block.requests]
    limits = core.parameters
    return (
        abs(block.time - core.now) <= limits.clock_skew_max
        and block.time >= _time_before(core, height)
        and len(keys) <= limits.block_requests_max
        and len(set(keys)) == len(keys)
        and (len(keys) == 1 or len(encode(block)) <= limits.block_bytes_max + BLOCK_OVERHEAD)
        and all(_acceptable(core, request) for request in block.requests)
    )


def accept(core: Core, slot: Slot, bare: PrePrepare, block: ConsensusBlock | None) -> None:
    """Bind (view, height) to a digest: durably, then with a prepare to all."""
    slot.awaited = None
    slot.proposal = bare
    slot.keep(bare.digest, block)
    prepare = None
    if bare.replica != core.me:
        ballot = (bare.view, bare.height, bare.digest)
        prepare = core.sign(Prepare(core.me, b"", bare.epoch, *ballot))
        slot.prepares[core.me] = prepare
        core.broadcast(prepare)
    core.persist(Accepted(msgspec.structs.replace(bare, block=block), prepare))
    if slot.height > core.executed:
        _start_timers(core, block)
    progress(core, slot)


def _start_timers(core: Core, block: ConsensusBlock | None) -> None:
    """Time the requests of a proposal too: the primary must see them through."""
    for request in block.requests if block is not None else ():
        if core.sessions.is_new(request):
            core.pending.setdefault(request.key, PendingRequest(request, core.ticks))


def on_prepare(core: Core, _sender: int | str, message: Prepare) -> None:
    slot = core.log.slot(message.height)
    if slot is None or message.view < core.view or not is_newer_vote(slot.prepares, message):
        return
    if slot.prepared is not None and slot.prepared.view >= message.view:
        return  # prepared already
    if core.signed(message):
        slot.prepares[message.replica] = message
        progress(core, slot)


def on_commit(core: Core, _sender: int | str, message: Commit) -> None:
    slot = core.log.slot(message.height)
    if slot is None or slot.decided is not None or not is_newer_vote(slot.commits, message):
        return
    if core.signed(message):
        slot.commits[message.replica] = message
        decide(core, slot, message)


def progress(core: Core, slot: Slot) -> None:
    """Commit, durably, once prepared: the primary's pre-prepare and 2f prepares by backups."""
    bare = slot.proposal
    if bare is None or bare.view != core.view or not core.active or not core.may_vote:
        return
    if slot.prepared is not None and slot.prepared.view >= bare.view:
        return
    ballot = (bare.view, bare.height, bare.digest)
    backups = {who: vote for who, vote in slot.prepares.items() if who != bare.replica}
    votes = matching(backups, bare.view, bare.digest)
    if len(votes) < core.configuration.quorum - 1:
        return
    proposal = Vote(bare.replica, bare.signature)
    slot.prepared = PreparedProof(bare.epoch, *ballot, proposal, votes)
    commit = core.sign(Commit(core.me, b"", bare.epoch, *ballot))
    slot.commits[core.me] = commit
    core.persist(Prepared(slot.prepared, commit))
    core.broadcast(commit)
    decide(core, slot, commit)


def decide(core: Core, slot: Slot, commit: Commit) -> None:
    """Decide on a quorum of commits: it proves that f + 1 honest replicas prepared the block."""
    if slot.decided is not None or len(slot.commits) < core.configuration.quorum:
        return
    votes = matching(slot.commits, commit.view, commit.digest)
    if len(votes) < core.configuration.quorum:
        return
    if commit.digest != NULL_DIGEST and commit.digest not in slot.blocks:
        return  # the block is missing: catch_up.fetch_blocks gets it
    ballot = (commit.view, commit.height, commit.digest)
    block = slot.blocks.get(commit.digest)
    slot.decided = Decided(commit.epoch, *ballot, votes, block)
    core.persist(slot.decided_record())
