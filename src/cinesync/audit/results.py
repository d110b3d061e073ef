"""The outcomes of a check: passed, failed or not made; and the report of an audit."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cinesync.audit.sources import AuditSources

FINDINGS_MAX: Final = 50
EXIT_PASSED, EXIT_FAILED, EXIT_NOT_MADE = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Passed:
    """Everything that was read is as promised.

    `on_its_way` describes what has not arrived yet but may; empty if everything has.
    """

    seen: str
    on_its_way: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A promise is broken. Each finding names a row that must not exist, or must differ."""

    seen: str
    findings: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotMade:
    """The check could not be made, and why. This is not a success."""

    reason: str


CheckOutcome: TypeAlias = Passed | Failed | NotMade

# Called with the number of rows that a check has read so far.
ReportRowsRead: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """A check of a promise."""

    promise: str
    name: str
    run: Callable[[AuditSources, ReportRowsRead], Awaitable[CheckOutcome]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check."""

    promise: str
    name: str
    outcome: CheckOutcome


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The results of an audit."""

    results: Sequence[CheckResult]

    @property
    def exit_code(self) -> int:
        """A broken promise outweighs a check that was not made."""
        outcomes = [result.outcome for result in self.results]
        if any(isinstance(outcome, Failed) for outcome in outcomes):
            return EXIT_FAILED
        if any(isinstance(outcome, NotMade) for outcome in outcomes):
            return EXIT_NOT_MADE
        return EXIT_PASSED

    def to_json(self) -> dict[str, Any]:
        """As JSON, for programs."""
        return {
            "exit_code": self.exit_code,
            "checks": [_result_json(result) for result in self.results],
        }


def _result_json(result: CheckResult) -> dict[str, Any]:
    common = {"promise": result.promise, "check": result.name}
    match result.outcome:
        case Passed(seen, on_its_way, figures):
            outcome = {"outcome": "passed", "seen": seen, "on_its_way": on_its_way}
            return common | outcome | {"figures": dict(figures)}
        case Failed(seen, findings, figures):
            outcome = {"outcome": "failed", "seen": seen}
            return common | outcome | {"findings": list(findings), "figures": dict(figures)}
        case NotMade(reason):
            return common | {"outcome": "not made", "reason": reason}


class Findings:
    """Collects the first findings of a check, each once, and counts the others."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}
        self.count = 0

    @property
    def found(self) -> tuple[str, ...]:
        """The findings, at most FINDINGS_MAX."""
        return tuple(self._found)

    def add(self, what: str) -> None:
        """Add one finding."""
        self.count += 1
        if len(self._found) < FINDINGS_MAX:
            self._found[what] = None

    def extend(self, several: Iterable[str]) -> None:
        """Add several findings."""
        for what in several:
            self.add(what)

    def outcome(self, seen: str, **more: Any) -> Passed | Failed:
        """Failed if there are findings; `more` are fields of the outcome."""
        if not self._found:
            return Passed(seen, **more)
        left_out = self.count - len(self._found)
        summary = f"{seen}; {left_out} more findings are left out" if left_out else seen
        return Failed(summary, tuple(self._found), more.get("figures", {}))
