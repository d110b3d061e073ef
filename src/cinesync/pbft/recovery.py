"""Recovery after a crash: replay the log, or, if it is lost, abstain from voting."""

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
    """Replay the log. If it is damaged or empty, votes may be lost: abstain."""
    try:
        log_records = RecordChain().decode(rows)
    except Damaged:
        log_records = []
    if log_records:
        for record in log_records:
            REPLAY[type(record)](core, record)
    else:
        core.abstaining = True
        core.application.reset()
    view_change.accept_choices(core)
    core.compact = True  # a torn row must not stay in the middle of the log


def _stable(core: Core, record: Stable) -> None:
    state = record.state
    for link in record.links:
        core.configurations[link.state.configuration.epoch] = link.state.configuration
    core.links = list(record.links)
    core.configuration = state.configuration
    core.log.advance_low_mark(record.proof)
    core.snapshots[state.height] = StateSnapshot(state, record.sessions)
    checkpoint.set_change(core, state.change)
    if core.application.restore(state.height, state.manifest):
        core.executed, core.time = state.height, state.time
        core.sessions = SessionTable(record.sessions)
    else:  # the log is intact, the application's state is not: fetch that from the peers
        core.application.reset()
        core.transfer = Transfer(record.proof, 0, state, record.sessions)


def _slot(core: Core, height: int) -> Slot:
    slot = core.log.slot(height)
    assert slot is not None
    return slot


def _accepted(core: Core, record: Accepted) -> None:
    message = record.pre_prepare
    slot = _slot(core, message.height)
    slot.proposal = msgspec.structs.replace(message, block=None)
    if message.block is not None or message.digest not in slot.blocks:
        slot.keep(message.digest, message.block)
    if record.prepare is not None:
        slot.prepares[core.me] = record.prepare


def _prepared(core: Core, record: Prepared) -> None:
    slot = _slot(core, record.proof.height)
    slot.prepared = record.proof
    slot.commits[core.me] = record.commit


def _content(core: Core, record: Content) -> None:
    _slot(core, record.height).keep(digest(record.block), record.block)


def _decided(core: Core, record: Decided) -> None:
    slot = _slot(core, record.height)
    if record.block is None:
        record = msgspec.structs.replace(record, block=slot.blocks.get(record.digest))
    slot.decided = record
    slot.keep(record.digest, record.block)


def _view_change(core: Core, record: ViewChange) -> None:
    core.view, core.active, core.failed_views = record.view, False, core.failed_views + 1
    core.view_changes[core.me] = record


def _new_view(core: Core, record: NewView) -> None:
    view_change.adopt(core, record)


def _abstaining(core: Core, record: Abstaining) -> None:
    core.abstaining, core.abstain_until = True, record.until


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
