"""What a check can come to: passed, failed or not made."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cinesync.audit.sources import AuditSources

FINDINGS_MAX: Final = 50
EXIT_PASSED, EXIT_FAILED, EXIT_NOT_MADE = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Passed:
    """Everything that was looked at is as promised.

    `on_its_way` says what is not there yet and may still come; empty when everything is there.
    """

    seen: str
    on_its_way: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A promise is broken: each finding names a row that must not be, or must be otherwise."""

    seen: str
    findings: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotMade:
    """The check could not be made, and why. This is not success."""

    reason: str


CheckOutcome: TypeAlias = Passed | Failed | NotMade

# How many rows a check has read so far; whoever waits wants to see it move.
ReportProgress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """One question, under the promise that it tests."""

    promise: str
    name: str
    run: Callable[[AuditSources, ReportProgress], Awaitable[CheckOutcome]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check came to."""

    promise: str
    name: str
    outcome: CheckOutcome


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit saw."""

    results: Sequence[CheckResult]

    @property
    def exit_code(self) -> int:
        """A broken promise outweighs what could not be looked at."""
        outcomes = [result.outcome for result in self.results]
        if any(isinstance(outcome, Failed) for outcome in outcomes):
            return EXIT_FAILED
        if any(isinstance(outcome, NotMade) for outcome in outcomes):
            return EXIT_NOT_MADE
        return EXIT_PASSED

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "exit_code": self.exit_code,
            "checks": [_result_json(result) for result in self.results],
        }


def _result_json(result: CheckResult) -> dict[str, Any]:
    common = {"promise": result.promise, "check": result.name}
    match result.outcome:
        case Passed(seen, on_its_way, figures):
            said = {"outcome": "passed", "seen": seen, "on_its_way": on_its_way}
            return common | said | {"figures": dict(figures)}
        case Failed(seen, findings, figures):
            said = {"outcome": "failed", "seen": seen}
            return common | said | {"findings": list(findings), "figures": dict(figures)}
        case NotMade(reason):
            return common | {"outcome": "not made", "reason": reason}


class Findings:
    """The first findings of a check, each once; how many more there were is told too."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}
        self.count = 0

    @property
    def found(self) -> tuple[str, ...]:
        """The first of them."""
        return tuple(self._found)

    def add(self, what: str) -> None:
        """One thing that must not be."""
        self.count += 1
        if len(self._found) < FINDINGS_MAX:
            self._found[what] = None

    def extend(self, several: Iterable[str]) -> None:
        """Each of them."""
        for what in several:
            self.add(what)

    def outcome(self, seen: str, **more: Any) -> Passed | Failed:
        """Failed as soon as there is one; `more` are members of what it comes to."""
        if not self._found:
            return Passed(seen, **more)
        left_out = self.count - len(self._found)
        told = f"{seen}; {left_out} more findings are left out" if left_out else seen
        return Failed(told, tuple(self._found), more.get("figures", {}))
