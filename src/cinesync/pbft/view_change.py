"""Replace a primary without losing what may have committed (OSDI'99, sections 4.4 and 4.5.2).

Beyond the paper: a view-change whose whole window lies below another's checkpoint does not count.
It says nothing about the heights in question. A view-change that a validator signed before it lost
its log is always of this kind when that validator votes again (see catch_up.on_probe_answer).
"""

from collections.abc import Sequence

from cinesync.pbft import certificates, checkpoint
from cinesync.pbft.core import Core
from cinesync.pbft.messages import (
    NULL_DIGEST,
    NewView,
    PreparedProof,
    PrePrepare,
    ViewChange,
)
from cinesync.pbft.ordering import accept


def start(core: Core, view: int) -> None:
    """Stop voting in older views, and send a view-change with all that may have committed."""
    if not core.may_vote:
        return
    core.view, core.active = view, False
    core.failed_views += 1
    core.deadline = None
    slots = (core.log.slots[height] for height in sorted(core.log.slots))
    prepared = tuple(slot.prepared for slot in slots if slot.prepared is not None)
    message = core.sign(
        ViewChange(core.me, b"", core.configuration.epoch, view, core.log.stable, prepared)
    )
    core.view_changes[core.me] = message
    core.persist(message)
    core.broadcast(message)
    _open_if_quorum(core)


def on_view_change(core: Core, _sender: int | str, message: ViewChange) -> None:
    known = core.view_changes.get(message.replica)
    if (
        message.view < core.view
        or (message.view == core.view and core.active)
        or (known is not None and known.view >= message.view)
        or not valid(core, message)
    ):
        return
    core.view_changes[message.replica] = message
    checkpoint.learn(core, message.stable)
    if message.epoch == core.configuration.epoch:
        _join(core)
        _open_if_quorum(core)


def valid(core: Core, message: ViewChange) -> bool:
    """Whether it is signed, C is valid, and P is valid, in rising order and inside its window."""
    heights = [proof.height for proof in message.prepared]
    low, high = message.stable.height, message.stable.height + core.parameters.window
    return (
        core.signed(message)
        and message.view > 0
        and heights == sorted(set(heights))
        and all(low < height <= high for height in heights)
        and checkpoint.trusted(core, message.stable)
        and all(
            proof.view < message.view
            and proof.epoch == message.epoch
            and certificates.prepared(core.keys, core.configuration, proof)
            for proof in message.prepared
        )
    )


def _join(core: Core) -> None:
    """Join the lowest of f + 1 higher views: an honest replica wants one of them (4.5.2)."""
    higher = sorted(m.view for m in core.view_changes.values() if m.view > core.view)
    if len(higher) >= core.configuration.weak_quorum:
        start(core, higher[0])


def _open_if_quorum(core: Core) -> None:
    """With a quorum for this view the primary sends the new-view; backups start its timeout.

    A view-change for a higher view counts towards the timeout: its sender will not return here.
    """
    messages = [m for _, m in sorted(core.view_changes.items()) if m.view >= core.view]
    if core.active or not core.may_vote or len(messages) < core.configuration.quorum:
        return
    if core.deadline is None:
        core.deadline = core.ticks + core.view_timeout
    same = [message for message in messages if message.view == core.view]
    chosen = usable_view_changes(same, core.parameters.window)
    if core.primary == core.me and len(chosen) >= core.configuration.quorum:
        _send_new_view(core, chosen)


def usable_view_changes(view_changes: Sequence[ViewChange], window: int) -> tuple[ViewChange, ...]:
    """The view-changes whose window reaches above the newest checkpoint among them."""
    newest = max(message.stable.height for message in view_changes)
    return tuple(m for m in view_changes if m.stable.height + window > newest)


def choose(view_changes: Sequence[ViewChange]) -> list[tuple[int, bytes]]:
    """O: for each height the digest of the *highest view* prepared there, else the null request.

    The choice of a later view already took the earlier views into account. Choosing an earlier
    view could replace a committed block.
    """
    start_height = max(message.stable.height for message in view_changes)
    best: dict[int, PreparedProof] = {}
    for message in view_changes:
        for proof in message.prepared:
            known = best.get(proof.height)
            if proof.height > start_height and (known is None or known.view < proof.view):
                best[proof.height] = proof
    heights = range(start_height + 1, max(best, default=start_height) + 1)
    return [(height, best[height].digest if height in best else NULL_DIGEST) for height in heights]


def _send_new_view(core: Core, chosen: tuple[ViewChange, ...]) -> None:
    epoch = core.configuration.epoch
    pre_prepares = tuple(
        core.sign(PrePrepare(core.me, b"", epoch, core.view, height, digest))
        for height, digest in choose(chosen)
    )
    message = core.sign(NewView(core.me, b"", epoch, core.view, chosen, pre_prepares))
    core.broadcast(message)
    enter(core, message)


def on_new_view(core: Core, _sender: int | str, message: NewView) -> None:
    if message.view < core.view or (message.view == core.view and core.active):
        return
    if _is_justified(core, message):
        enter(core, message)


def _is_justified(core: Core, message: NewView) -> bool:
    """Trust nothing that the primary says: check V and compute O again."""
    voters = [m.replica for m in message.view_changes]
    return (
        message.view > 0
        and message.replica == core.configuration.primary(message.view)
        and len(voters) >= core.configuration.quorum
        and voters == sorted(set(voters))
        and core.signed(message)
        and all(
            m.view == message.view and (m == core.view_changes.get(m.replica) or valid(core, m))
            for m in message.view_changes
        )
        and usable_view_changes(message.view_changes, core.parameters.window)
        == message.view_changes
        and [(m.height, m.digest) for m in message.pre_prepares] == choose(message.view_changes)
        and all(
            m.view == message.view
            and m.replica == message.replica
            and m.block is None
            and core.signed(m)
            for m in message.pre_prepares
        )
    )


def enter(core: Core, message: NewView) -> None:
    core.persist(message)
    adopt(core, message)
    core.deadline = None
    core.restart_timers()
    epoch = core.configuration.epoch
    for view_change in message.view_changes:
        checkpoint.learn(core, view_change.stable)
    if core.configuration.epoch == epoch:
        accept_choices(core)


def adopt(core: Core, message: NewView) -> None:
    """Enter the view in memory; a restart does this too."""
    core.view, core.active, core.new_view = message.view, True, message
    newest = max(m.stable.height for m in message.view_changes)
    core.new_view_high = max([newest, *(m.height for m in message.pre_prepares)])
    core.view_changes = {r: m for r, m in core.view_changes.items() if m.view > message.view}


def accept_choices(core: Core) -> None:
    """Accept what the new view chose, as far as it is in the window and its block is here."""
    if core.active and core.may_vote and core.new_view is not None:
        for message in core.new_view.pre_prepares:
            _accept_choice(core, message)


def _accept_choice(core: Core, message: PrePrepare) -> None:
    slot = core.log.slot(message.height)
    if slot is None or (slot.proposal is not None and slot.proposal.view >= message.view):
        return
    if slot.decided is not None and slot.decided.digest != message.digest:
        return  # only more than f Byzantine replicas can choose this: keep what is committed
    if message.digest == NULL_DIGEST or message.digest in slot.blocks:
        accept(core, slot, message, slot.blocks.get(message.digest))
    else:
        slot.awaited = message


def on_tick(core: Core) -> None:
    """Replace a primary that lets a request wait too long, or that sends no new-view."""
    if core.active:
        waiting_since = [waiting.since for waiting in core.pending.values()]
        if core.change is not None:
            waiting_since.append(core.change_since)
        if waiting_since and core.ticks - min(waiting_since) >= core.view_timeout:
            start(core, core.view + 1)
        accept_choices(core)
    elif core.deadline is not None and core.ticks >= core.deadline:
        start(core, core.view + 1)
    elif core.ticks % core.parameters.status_ticks == 0 and core.me in core.view_changes:
        core.broadcast(core.view_changes[core.me])
