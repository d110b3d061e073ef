"""Deliberate bugs: each is a patch of one function that the simulator must catch."""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from cinesync.pbft import (
    catch_up,
    certificates,
    checkpoint,
    core,
    execution,
    log,
    ordering,
    quorum,
    recovery,
    sessions,
    view_change,
)
from tests.simulation.simulation import Simulation


@dataclass(frozen=True)
class Bug:
    name: str
    where: object  # a function, or the property that wraps it
    right: str
    wrong: str

    @property
    def function(self) -> Any:
        return self.where.fget if isinstance(self.where, property) else self.where


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Replace the function's code object, so that every importer has the bug."""
    function = bug.function
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(bug.right) == 1, f"{bug.name}: the patch does not apply"
    source = source.replace(bug.right, bug.wrong).removeprefix("@property\n")
    scope: dict[str, FunctionType] = {}
    exec(source, function.__globals__, scope)
    code = function.__code__
    function.__code__ = scope[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = code


BUGS = (
    Bug(
        "the lowest view wins in O", view_change.choose, "known.view < proof", "known.view > proof"
    ),
    Bug("no null request fills a gap", view_change.choose, "digest if", "digest if 1 or"),
    Bug("O is not checked", view_change._is_justified, "== choose(", "!= 0 or choose("),
    Bug("P is not checked", view_change.valid, "certificates.prepared(", "(lambda *_: True)("),
    Bug("P is left out", view_change.start, "core.log.stable, prepared)", "core.log.stable, ())"),
    Bug("the primary's prepare counts", ordering.progress, "quorum - 1", "quorum - 2"),
    Bug("a quorum is 2f", quorum.quorum, "// 2 + 1", "// 2"),
    Bug(
        "a second proposal is accepted",
        ordering._already_accepted,
        ">= message.view",
        "> message.view",
    ),
    Bug("an accepted proposal is not persisted", ordering.accept, "core.persist(", "str("),
    Bug("a certificate is not persisted", ordering.progress, "core.persist(", "str("),
    Bug("an fsync is skipped", Simulation._carry_out, "node.disk.fsync()", "pass"),
    Bug("a view-change is not persisted", view_change.start, "core.persist(", "str("),
    Bug(
        "applied with a gap",
        execution.decided,
        "height += 1",
        "height += 1 + (height + 1 not in core.log.slots)",
    ),
    Bug(
        "a request is applied twice",
        sessions.SessionTable.is_new,
        "return request.sequence >",
        "return True or request.sequence >",
    ),
    Bug(
        "sessions are not transferred",
        checkpoint.install,
        "SessionTable(sessions)",
        "SessionTable()",
    ),
    Bug(
        "one checkpoint is stable", checkpoint.check_stable, ">= core.configuration.quorum", ">= 1"
    ),
    Bug("no high mark", log.Log.high, "self.stable.height + self.window", "2**53"),
    Bug(
        "a torn row stays in the log",
        recovery.recover,
        "core.compact = True",
        "core.compact = False",
    ),
    Bug("a wiped log votes", recovery.recover, "core.abstaining = True", "core.abstaining = False"),
    Bug("the view timeout never ends", view_change.on_tick, ">= core.view_timeout", "< 0"),
    Bug("gaps are not sent again", catch_up._resend_heights, "if slot is not None", "if False"),
    Bug(
        "state is not checked",
        catch_up.on_state_found,
        "and certificates.names(transfer.proof, message.state)",
        "",
    ),
    Bug("one voter counts twice", certificates._distinct, "and voters == sorted(set(voters))", ""),
    Bug("the view timeout does not grow", core.Core.view_timeout, "<< doublings", ""),
)
