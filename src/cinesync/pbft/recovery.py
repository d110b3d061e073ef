"""After a crash: be exactly who one was, or, the log being lost, promise nothing for a while."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from cinesync.pbft import checkpoint, view_change
from cinesync.pbft.core import Core, StateSnapshot, Transfer
from cinesync.pbft.log import (
    Abstaining,
    Accepted,
    Content,
    Damaged,
    LogRecord,
    Prepared,
    RecordChain,
    Slot,
    Stable,
)
from cinesync.pbft.messages import Decided, NewView, ViewChange, digest
from cinesync.pbft.sessions import SessionTable


def recover(core: Core, rows: Sequence[bytes]) -> None:
    """Replay the log. Damage anywhere, or no log at all, means that votes may be forgotten."""
    try:
        entries = RecordChain().decode(rows)
    except Damaged:
        entries = []
    if entries:
        for entry in entries:
            REPLAY[type(entry)](core, entry)
    else:
        core.abstaining = True
        core.application.reset()
    view_change.accept_choices(core)
    core.compact = True  # a row cut short must not stay in the middle of a log


def _stable(core: Core, entry: Stable) -> None:
    state = entry.state
    for link in entry.links:
        core.configurations[link.state.configuration.epoch] = link.state.configuration
    core.links = list(entry.links)
    core.configuration = state.configuration
    core.log.advance_low_mark(entry.proof)
    core.snapshots[state.height] = StateSnapshot(state, entry.sessions)
    checkpoint.set_change(core, state.change)
    if core.application.restore(state.height, state.manifest):
        core.executed, core.time = state.height, state.time
        core.sessions = SessionTable(entry.sessions)
    else:  # the log is sound, the application's part is not: fetch that from the others
        core.application.reset()
        core.transfer = Transfer(entry.proof, 0, state, entry.sessions)


def _slot(core: Core, height: int) -> Slot:
    slot = core.log.slot(height)
    assert slot is not None
    return slot


def _accepted(core: Core, entry: Accepted) -> None:
    message = entry.pre_prepare
    slot = _slot(core, message.height)
    slot.proposal = msgspec.structs.replace(message, block=None)
    if message.block is not None or message.digest not in slot.blocks:
        slot.keep(message.digest, message.block)
    if entry.prepare is not None:
        slot.prepares[core.me] = entry.prepare


def _prepared(core: Core, entry: Prepared) -> None:
    slot = _slot(core, entry.proof.height)
    slot.prepared = entry.proof
    slot.commits[core.me] = entry.commit


def _content(core: Core, entry: Content) -> None:
    _slot(core, entry.height).keep(digest(entry.block), entry.block)


def _decided(core: Core, entry: Decided) -> None:
    slot = _slot(core, entry.height)
    if entry.block is None:
        entry = msgspec.structs.replace(entry, block=slot.blocks.get(entry.digest))
    slot.decided = entry
    slot.keep(entry.digest, entry.block)


def _view_change(core: Core, entry: ViewChange) -> None:
    core.view, core.active, core.attempts = entry.view, False, core.attempts + 1
    core.view_changes[core.me] = entry


def _new_view(core: Core, entry: NewView) -> None:
    view_change.adopt(core, entry)


def _abstaining(core: Core, entry: Abstaining) -> None:
    core.abstaining, core.abstain_until = True, entry.until


REPLAY: Final[dict[type[LogRecord], Callable[[Core, Any], None]]] = {
    Stable: _stable,
    Accepted: _accepted,
    Prepared: _prepared,
    Content: _content,
    Decided: _decided,
    ViewChange: _view_change,
    NewView: _new_view,
    Abstaining: _abstaining,
}
