"""Makes every check, and makes it again before a finding is believed."""

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

LOOKS_MAX: Final = 4
LOOK_PAUSE_SECONDS: Final = 1.0
SETTLE_SECONDS_MAX: Final = 60.0

CHECKS: Final[Sequence[AuditCheck]] = (
    AuditCheck("I1", "seats", seats.check),
    AuditCheck("I2", "money", money.check),
    AuditCheck("I2", "bank statement", providers.check),
    AuditCheck("I3", "dead letters", dead_letters.check),
    AuditCheck("I4", "ledger", ledger.check),
)

# The name of the check that is being made, and how many rows it has read.
Watch = Callable[[str, int], None]


async def audit(
    books: AuditSources,
    *,
    settled: bool,
    say: Callable[[str], None],
    watch: Watch = lambda _name, _count: None,
) -> AuditReport:
    """Recompute I1 to I4. A shop that sells while we look is looked at again.

    What is reported was there in each of several looks: rows of two databases are never read at
    one moment. With `settled`, what is on its way must arrive within a minute.
    """
    results = []
    for check in CHECKS:
        outcome = await _made(check, books, say, watch)
        if settled:
            outcome = await _settled(check, outcome, books, watch)
        results.append(CheckResult(check.promise, check.name, outcome))
    return AuditReport(results)


async def _made(
    check: AuditCheck, books: AuditSources, say: Callable[[str], None], watch: Watch
) -> CheckOutcome:
    outcome = await _look(check, books, watch)
    for _ in range(LOOKS_MAX - 1):
        if not isinstance(outcome, Failed) or not books.is_running:
            break  # in a shop that stands still, another look finds the same
        say(f"looking again at what seems wrong with {check.name}")
        await asyncio.sleep(LOOK_PAUSE_SECONDS)
        outcome = _both(outcome, await _look(check, books, watch))
    return outcome


def _both(earlier: Failed, later: CheckOutcome) -> CheckOutcome:
    """Only what was found both times."""
    if not isinstance(later, Failed):
        return later
    persistent = tuple(what for what in earlier.findings if what in later.findings)
    if persistent:
        return replace(later, findings=persistent)
    return Passed(later.seen, figures=later.figures)


async def _settled(
    check: AuditCheck, outcome: CheckOutcome, books: AuditSources, watch: Watch
) -> CheckOutcome:
    deadline = clock.monotonic_seconds() + SETTLE_SECONDS_MAX
    while books.is_running and _may_settle(outcome) and clock.monotonic_seconds() < deadline:
        await asyncio.sleep(LOOK_PAUSE_SECONDS)
        outcome = await _look(check, books, watch)
    if isinstance(outcome, Passed) and outcome.on_its_way:
        how_long = "still after a minute" if books.is_running else "and the shop stands still"
        what = f"{outcome.on_its_way}, {how_long}"
        return Failed(outcome.seen, (what,), outcome.figures)
    return outcome


def _may_settle(outcome: CheckOutcome) -> bool:
    return isinstance(outcome, NotMade) or (
        isinstance(outcome, Passed) and outcome.on_its_way != ""
    )


async def _look(check: AuditCheck, books: AuditSources, watch: Watch) -> CheckOutcome:
    watch(check.name, 0)
    return await check.run(books, lambda count: watch(check.name, count))
