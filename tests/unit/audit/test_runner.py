"""How checks become a report and an exit code."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest

from cinesync.audit import runner
from cinesync.audit.results import (
    FINDINGS_MAX,
    AuditCheck,
    AuditReport,
    CheckOutcome,
    CheckResult,
    Failed,
    Findings,
    NotMade,
    Passed,
)
from cinesync.audit.sources import AuditSources

GOOD, LATE = Passed("all"), Passed("all", "1 entry is on its way")
BAD, AWAY = Failed("all", ("seat F7",)), NotMade("the bank does not answer")

Run = Callable[..., Awaitable[AuditReport]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """An audit whose one check comes to these outcomes, one look after the other."""
    monkeypatch.setattr(runner, "PAUSE_SECONDS", 0.0)

    async def audit(
        looks: Sequence[CheckOutcome], *, settled: bool = False, is_running: bool = True
    ) -> AuditReport:
        left: Iterator[CheckOutcome] = iter(looks)

        async def look(_sources: AuditSources, _progress: Any) -> CheckOutcome:
            return next(left)

        monkeypatch.setattr(runner, "CHECKS", (AuditCheck("I1", "seats", look),))
        sources = AuditSources({}, {}, None, (), None, is_running=is_running)
        return await runner.audit(sources, settled=settled, say=lambda _: None)

    return audit


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([GOOD, LATE], 0),
        ([GOOD, AWAY], 3),
        ([GOOD, BAD, AWAY], 1),
        ([BAD], 1),
    ],
)
def test_not_made_is_no_success_and_a_broken_promise_outweighs_it(
    outcomes: Sequence[CheckOutcome], code: int
) -> None:
    report = AuditReport([CheckResult("I1", "seats", outcome) for outcome in outcomes])
    assert report.exit_code == report.to_json()["exit_code"] == code


async def test_a_finding_that_does_not_persist_is_dropped(run: Run) -> None:
    passing = Failed("all", ("seat F7", "seat F8"))
    (result,) = (await run([passing, BAD, Failed("all", ("seat G1",))])).results
    assert isinstance(result.outcome, Passed)
    (result,) = (await run([passing, BAD, passing, BAD])).results
    assert result.outcome == BAD
    assert (await run([BAD, GOOD])).exit_code == 0


async def test_a_stopped_shop_is_checked_once(run: Run) -> None:
    assert (await run([BAD], is_running=False)).exit_code == 1
    assert (await run([AWAY], settled=True, is_running=False)).exit_code == 3
    (result,) = (await run([LATE], settled=True, is_running=False)).results
    assert isinstance(result.outcome, Failed)
    assert result.outcome.findings == ("1 entry is on its way, and the shop is not running",)


async def test_settled_waits_for_what_is_on_its_way_and_then_fails_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await run([LATE])).exit_code == 0
    assert (await run([LATE, LATE, AWAY, GOOD], settled=True)).exit_code == 0
    monkeypatch.setattr(runner, "SETTLE_SECONDS_MAX", 0.0)
    (result,) = (await run([LATE], settled=True)).results
    assert isinstance(result.outcome, Failed)
    assert result.outcome.findings == ("1 entry is on its way, still after a minute",)
    assert (await run([AWAY], settled=True)).exit_code == 3


def test_a_report_for_programs_says_the_same() -> None:
    results = [
        CheckResult("I1", "seats", LATE),
        CheckResult("I2", "bank", AWAY),
        CheckResult("I3", "dead", BAD),
    ]
    checks = AuditReport(results).to_json()["checks"]
    assert [check["outcome"] for check in checks] == ["passed", "not made", "failed"]
    assert checks[0]["on_its_way"] == "1 entry is on its way"
    assert checks[1]["reason"] == "the bank does not answer"
    assert checks[2]["findings"] == ["seat F7"]


def test_findings_beyond_the_first_are_counted() -> None:
    findings = Findings()
    findings.extend(f"seat {number}" for number in range(FINDINGS_MAX + 3))
    outcome = findings.outcome("all")
    assert isinstance(outcome, Failed)
    assert len(outcome.findings) == FINDINGS_MAX
    assert outcome.seen == "all; 3 more findings are left out"
