"""Writes the figures into results/, the README and two pages of docs. Nothing by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import capacity, claims, report

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
DOCS = HERE.parent / "docs"
PERFORMANCE = DOCS / "performance.md"
CAPACITY = DOCS / "capacity.md"

Results = Mapping[str, Any]


def save(results: Results) -> None:
    """A file of the day, as far as the figures have come."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{results['measured_at'][:10]}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")


def newest() -> Results | None:
    """None when nothing was measured yet."""
    files = sorted(RESULTS.glob("*.json"))
    return dict(json.loads(files[-1].read_text())) if files else None


def rewrite(results: Results) -> None:
    """Everything that quotes results."""
    for file, text in rewritten(results).items():
        file.write_text(text)


def rewritten(results: Results) -> dict[Path, str]:
    """The documents as they must be."""
    runs, assumed = results["runs"], capacity.Assumptions()
    targets = f"{machine_line(results)}\n{report.targets_table(runs, claims.TARGETS)}"
    need = f"{machine_line(results)}\n{capacity.page(runs, assumed)}"
    places = (
        (README, "figures", tables(results)),
        (PERFORMANCE, "targets", targets),
        (CAPACITY, "machines", need),
        (CAPACITY, "assumptions", capacity.assumptions_list(assumed)),
    )
    texts: dict[Path, str] = {}
    for file, mark, content in places:
        text = texts[file] if file in texts else file.read_text()
        texts[file] = report.replaced(text, mark, content)
    return texts


def machine_line(results: Results) -> str:
    """What it was measured on, and when."""
    facts, count = results["machine"], len(results["runs"])
    return (
        f"{facts['cores']} x {facts['cpu']}, {facts['memory_gb']} GB, Python {facts['python']},"
        f" Linux {facts['kernel']}; {results['measured_at'][:10]}, {count}"
        f" run{'s: the median, and the range' if count > 1 else ''}.\n"
    )


def tables(results: Results) -> str:
    """All of them."""
    runs = results["runs"]
    found = [
        machine_line(results),
        report.targets_table(runs, claims.TARGETS),
        report.figures_table(runs, claims.ROWS),
        report.cpu_table(runs, claims.CPU),
        report.processors_table(runs, claims.PROCESSORS),
        report.levels_table(runs, "growth", claims.LEVELS, claims.GROWTH),
    ]
    return "\n".join(text for text in found if text)
