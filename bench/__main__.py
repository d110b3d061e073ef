"""`python -m bench [NAME…]`: start a shop of its own, measure it, print and keep the figures."""

import asyncio
import json
import resource
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console

from bench import claims, machine, report
from bench.suite import FIGURES, Size
from bench.system import running
from cinesync.chassis import clock

HERE = Path(__file__).parent
README = HERE / "README.md"

err = Console(stderr=True)
out = Console()


def say(what: str) -> None:
    """Progress, on stderr."""
    err.print(f"[dim]bench:[/dim] {what}", highlight=False)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(FIGURES)))
@click.option("--quick", is_flag=True, help="Small ones, to try: less than two minutes.")
@click.option("--repeat", default=1, show_default=True, help="Runs, each on a fresh shop.")
@click.option("--rate", type=float, help="Of open loops, a second.")
@click.option("--seconds", type=float, help="Of each loop.")
@click.option("--connections", type=int, help="Of closed loops.")
def main(
    names: tuple[str, ...],
    *,
    quick: bool,
    repeat: int,
    rate: float | None,
    seconds: float | None,
    connections: int | None,
) -> None:
    """Measure NAMES, or everything; everything at full size is written to results/ and README."""
    allow_files()
    size = Size(quick, rate, seconds, connections)
    runs = [run(names or tuple(FIGURES), size) for _ in range(repeat)]
    results = {
        "machine": machine.describe(),
        "measured_at": clock.now().isoformat(timespec="seconds"),
        "runs": runs,
    }
    if names or size != Size():
        out.print_json(json.dumps(results))
    else:
        keep(results)
    out.print(tables(results), markup=False, highlight=False)


def allow_files() -> None:
    """Thousands of listeners need as many files, here and in the processes we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(names: tuple[str, ...], size: Size) -> dict[str, Any]:
    """One after the other, on one shop."""
    figures: dict[str, Any] = {}
    with running(say) as system:
        figures["start"] = {"first_seconds": system.start_seconds}
        system.restart()
        figures["start"]["second_seconds"] = system.start_seconds
        figures["start"]["memory_mb"] = machine.memory_mb()
        for name in names:
            say(name)
            figures[name] = asyncio.run(FIGURES[name](system, size))
    return figures


def tables(results: dict[str, Any]) -> str:
    """As people read them."""
    runs, facts = results["runs"], results["machine"]
    return "\n".join(
        [
            f"{facts['cores']} x {facts['cpu']}, {facts['memory_gb']} GB, Python"
            f" {facts['python']}, Linux {facts['kernel']}; {len(runs)} run(s),"
            f" {results['measured_at']}.\n",
            report.figures_table(runs, claims.ROWS),
            report.targets_table(runs, claims.TARGETS),
            report.cpu_table(runs, claims.CPU),
            report.levels_table(runs, "growth", claims.LEVELS, claims.GROWTH),
        ]
    )


def keep(results: dict[str, Any]) -> None:
    """results/<date>.json, and the tables in README.md."""
    file = HERE / "results" / f"{results['measured_at'][:10]}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
    README.write_text(report.replaced(README.read_text(), "figures", tables(results)))


if __name__ == "__main__":
    main()
