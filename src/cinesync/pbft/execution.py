"""Apply decided blocks strictly in order, and reply to the clients (OSDI'99, section 4.2)."""

from typing import Final

from cinesync.pbft import checkpoint
from cinesync.pbft.core import Core
from cinesync.pbft.messages import (
    Attestation,
    Cached,
    Configuration,
    ConfigurationChange,
    ConsensusBlock,
    Decided,
    Request,
)

ACCEPTED: Final = b"accepted"
REFUSED: Final = b"refused"
SESSIONS_MAX: Final = 1_024
EPOCHS_MAX: Final = 64  # a receipt contains a link for each
VALIDATORS_MIN: Final = 4  # fewer tolerate no fault


def decided(core: Core) -> tuple[Decided, ...]:
    """The decided heights that follow the last applied one without a gap."""
    found = []
    height = core.executed + 1
    while (slot := core.log.slots.get(height)) is not None and slot.decided is not None:
        found.append(slot.decided)
        height += 1
    return tuple(found)


def apply(core: Core, proof: Decided) -> None:
    assert proof.height == core.executed + 1
    block = proof.block or ConsensusBlock(core.time, ())
    # A null request carries no time, so the next block may be older. Applied time is monotonic.
    core.time = max(core.time, block.time)
    core.executed = proof.height
    fresh = [request for request in block.requests if core.sessions.is_new(request)]
    ordinary = [request for request in fresh if request.change is None]
    applied = core.application.apply(core.executed, core.time, ordinary)
    assert len(applied.results) == len(ordinary)
    _attest(core, applied.digest)
    results = iter(applied.results)
    for request in fresh:
        _finish(core, request, _order_change(core, request.change) or next(results))
    for request in block.requests:
        core.pending.pop(request.key, None)
    if fresh:
        core.failed_views = 0
    if core.executed % core.parameters.interval == 0:
        checkpoint.take(core)


def _attest(core: Core, digest: bytes) -> None:
    """Sign the digest of the state. A quorum committed it, so no honest validator signs another."""
    if core.member:
        bare = Attestation(core.me, b"", core.configuration.epoch, core.executed, digest)
        core.attestations[core.executed] = core.sign(bare)


def _finish(core: Core, request: Request, result: bytes) -> None:
    cached = Cached(request.sequence, core.executed, result)
    core.sessions.remember(request.client, cached)
    core.reply(request.client, cached)


def _order_change(core: Core, wanted: Configuration | None) -> bytes | None:
    """Accept one change at a time, to the next epoch."""
    if wanted is None:
        return None
    names = sum(client.name not in core.sessions for client in wanted.clients)
    if (
        core.change is not None
        or wanted.epoch != core.configuration.epoch + 1
        or wanted.epoch > EPOCHS_MAX
        or not wanted.is_consistent
        or wanted.size < VALIDATORS_MIN
        or len(core.sessions) + names > SESSIONS_MAX
    ):
        return REFUSED
    height = checkpoint.effective_height(core, core.executed)
    checkpoint.set_change(core, ConfigurationChange(height, wanted))
    return ACCEPTED
