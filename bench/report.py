"""From results to tables: medians and ranges over the runs, ratios, targets. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Results = Mapping[str, Any]

NOT_MEASURED = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """A figure; `path` leads to it in a run. `ceiling` and `baseline` are paths in the same run."""

    title: str
    path: str
    unit: str = ""
    ceiling: str = ""
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """`path` must be at least, or at most, `limit`; `divisor` is a path to divide by first.

    `given` is a path and the least that must stand there, or the target was not put to the test.
    """

    title: str
    path: str
    relation: str
    limit: float
    unit: str = ""
    divisor: str = ""
    given: tuple[str, float] | None = None


def at(run: Results, path: str) -> float | None:
    """What a dotted path leads to; None when that was not measured."""
    found: Any = run
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return float(found) if isinstance(found, int | float) else None


def values(runs: Sequence[Results], path: str) -> list[float]:
    """One of each run that has it."""
    return [value for run in runs if path and (value := at(run, path)) is not None]


def ratios(runs: Sequence[Results], path: str, divisor: str) -> list[float]:
    """Each within its own run."""
    pairs = [(at(run, path), at(run, divisor)) for run in runs]
    return [value / by for value, by in pairs if value is not None and by]


def written(numbers: Sequence[float], unit: str = "") -> str:
    """The median, and the range when there were several runs."""
    if not numbers:
        return NOT_MEASURED
    text = f"{_number(median(numbers))}{unit and ' ' + unit}"
    if len(numbers) > 1:
        text += f" ({_number(min(numbers))} to {_number(max(numbers))})"
    return text


def figures_table(runs: Sequence[Results], rows: Sequence[Row]) -> str:
    """Each figure next to its ceiling and to the baseline's."""
    lines = ["| Figure | CineSync | Baseline app | Ceiling |", "|---|---|---|---|"]
    for row in rows:
        if values(runs, row.path):
            cells = [written(values(runs, path)) for path in (row.baseline, row.ceiling)]
            own = written(values(runs, row.path), row.unit)
            lines.append(f"| {row.title} | {own} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def cpu_table(runs: Sequence[Results], paths: Mapping[str, str]) -> str:
    """CPU-ms each, by kind of process; `paths` lead to such mappings."""
    found = {title: [m for run in runs if (m := mapping(run, p))] for title, p in paths.items()}
    kinds = sorted({kind for each in found.values() for one in each for kind in one} - {"all"})
    lines = [
        "| CPU-ms for one | all but the load | " + " | ".join(kinds) + " |",
        "|---|---|" + "---|" * len(kinds),
    ]
    for title, each in found.items():
        if each:
            cells = [written(values(each, kind)) for kind in ("all", *kinds)]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def processors_table(runs: Sequence[Results], paths: Mapping[str, str]) -> str:
    """What all processors did meanwhile; a path's first part is where the machine's pace stands."""
    lines = [
        "| Meanwhile | a fixed piece of Python, ms | % busy | idle | waiting for disks | stolen |",
        "|---|---|---|---|---|---|",
    ]
    for title, path in paths.items():
        states = ("busy", "idle", "disk", "stolen")
        if values(runs, f"{path}.processors.busy"):
            places = [f"{path.split('.')[0]}.pace_ms", *(f"{path}.processors.{s}" for s in states)]
            cells = [written(values(runs, place)) for place in places]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def levels_table(
    runs: Sequence[Results], root: str, levels: Sequence[str], rows: Mapping[str, str]
) -> str:
    """A column for each level that was measured; `rows` are paths below a level."""
    found = [level for level in levels if any(mapping(run, f"{root}.{level}") for run in runs)]
    lines = []
    for title, path in rows.items():
        cells = [written(values(runs, f"{root}.{level}.{path}")) for level in found]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
        if len(lines) == 1:
            lines.append("|---|" + "---|" * len(found))
    return "\n".join(lines) + "\n" if found else ""


def targets_table(runs: Sequence[Results], targets: Sequence[Target]) -> str:
    """Reached or not, by the median."""
    lines = ["| Target | Limit | Measured | |", "|---|---|---|---|"]
    for target in targets:
        verdict, numbers = judge(runs, target)
        limit = f"{target.relation} {_number(target.limit)} {target.unit}".strip()
        lines.append(f"| {target.title} | {limit} | {written(numbers)} | {verdict} |")
    return "\n".join(lines) + "\n"


def judge(runs: Sequence[Results], target: Target) -> tuple[str, list[float]]:
    """The verdict and what it rests on."""
    if target.divisor:
        numbers = ratios(runs, target.path, target.divisor)
    else:
        numbers = values(runs, target.path)
    if not numbers:
        return "not measured", numbers
    if target.given and median(values(runs, target.given[0]) or [0]) < target.given[1]:
        output = _number(median(values(runs, target.given[0]) or [0]))
        return f"**not reached** (at {output} only)", numbers
    middle = median(numbers)
    reached = middle >= target.limit if target.relation == "≥" else middle <= target.limit
    return "reached" if reached else "**not reached**", numbers


def replaced(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks of that name. Raises ValueError without them."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"there is no place marked {name}")
    return marked.sub(lambda marks: marks[1] + content + marks[2], text)


def mapping(run: Results, path: str) -> Mapping[str, Any] | None:
    """The same for a group of figures."""
    found: Any = run
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _number(value: float) -> str:
    """Three digits are what such a figure is worth."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"
