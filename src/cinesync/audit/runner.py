"""Runs every check, and repeats a failed one before it reports a finding."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from cinesync.audit import dead_letters, ledger, money, providers, seats
from cinesync.audit.results import (
    AuditCheck,
    AuditReport,
    CheckOutcome,
    CheckResult,
    Failed,
    NotMade,
    Passed,
)
from cinesync.audit.sources import AuditSources
from cinesync.chassis import clock

TRIES_MAX: Final = 4
PAUSE_SECONDS: Final = 1.0
SETTLE_SECONDS_MAX: Final = 60.0

CHECKS: Final[Sequence[AuditCheck]] = (
    AuditCheck("I1", "seats", seats.check),
    AuditCheck("I2", "money", money.check),
    AuditCheck("I2", "bank statement", providers.check),
    AuditCheck("I3", "dead letters", dead_letters.check),
    AuditCheck("I4", "ledger", ledger.check),
)

# Called with the name of the running check and the number of rows that it has read.
OnProgress = Callable[[str, int], None]


async def audit(
    sources: AuditSources,
    *,
    settled: bool,
    say: Callable[[str], None],
    on_progress: OnProgress = lambda _name, _count: None,
) -> AuditReport:
    """Recompute I1 to I4.

    A running shop changes between the reads of two databases. So a failed check is repeated, and
    only findings of every repetition are reported. With `settled`, what is on its way must arrive
    within a minute.
    """
    results = []
    for check in CHECKS:
        outcome = await _repeated(check, sources, say, on_progress)
        if settled:
            outcome = await _settled(check, outcome, sources, on_progress)
        results.append(CheckResult(check.promise, check.name, outcome))
    return AuditReport(results)


async def _repeated(
    check: AuditCheck, sources: AuditSources, say: Callable[[str], None], on_progress: OnProgress
) -> CheckOutcome:
    outcome = await _run(check, sources, on_progress)
    for _ in range(TRIES_MAX - 1):
        if not isinstance(outcome, Failed) or not sources.is_running:
            break  # without a running shop, a repetition finds the same
        say(f"checking {check.name} again, since something seems wrong")
        await asyncio.sleep(PAUSE_SECONDS)
        outcome = _both(outcome, await _run(check, sources, on_progress))
    return outcome


def _both(earlier: Failed, later: CheckOutcome) -> CheckOutcome:
    """The findings of both outcomes."""
    if not isinstance(later, Failed):
        return later
    persistent = tuple(what for what in earlier.findings if what in later.findings)
    if persistent:
        return replace(later, findings=persistent)
    return Passed(later.seen, figures=later.figures)


async def _settled(
    check: AuditCheck, outcome: CheckOutcome, sources: AuditSources, on_progress: OnProgress
) -> CheckOutcome:
    deadline = clock.monotonic_seconds() + SETTLE_SECONDS_MAX
    while sources.is_running and _may_settle(outcome) and clock.monotonic_seconds() < deadline:
        await asyncio.sleep(PAUSE_SECONDS)
        outcome = await _run(check, sources, on_progress)
    if isinstance(outcome, Passed) and outcome.on_its_way:
        how_long = "still after a minute" if sources.is_running else "and the shop is not running"
        what = f"{outcome.on_its_way}, {how_long}"
        return Failed(outcome.seen, (what,), outcome.figures)
    return outcome


def _may_settle(outcome: CheckOutcome) -> bool:
    return isinstance(outcome, NotMade) or (
        isinstance(outcome, Passed) and outcome.on_its_way != ""
    )


async def _run(check: AuditCheck, sources: AuditSources, on_progress: OnProgress) -> CheckOutcome:
    on_progress(check.name, 0)
    return await check.run(sources, lambda count: on_progress(check.name, count))
