"""`python -m bench [NAME…]`: start a shop of its own, measure it, print and keep the figures.

`python -m bench tables` tells the newest results again, `python -m bench flame NAME LABEL` records
a flame graph.
"""

import asyncio
import json
import resource
import sys
from typing import Any

import rich_click as click
from rich.console import Console

from bench import documents, flame, machine
from bench.suite import ALONE, FIGURES, Size
from bench.system import running
from cinesync.chassis import clock

err = Console(stderr=True)
out = Console()


def say(what: str) -> None:
    """Progress, on stderr."""
    err.print(f"[dim]bench:[/dim] {what}", highlight=False)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*FIGURES, *ALONE]))
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
    runs = [run(names or (*FIGURES, *ALONE), size) for _ in range(repeat)]
    results = {
        "machine": machine.describe(),
        "measured_at": clock.now().isoformat(timespec="seconds"),
        "runs": runs,
    }
    if names or size != Size():
        out.print_json(json.dumps(results))
    else:
        documents.keep(results)
    out.print(documents.tables(results), markup=False, highlight=False)


def allow_files() -> None:
    """Thousands of listeners need as many files, here and in the processes we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(names: tuple[str, ...], size: Size) -> dict[str, Any]:
    """One after the other: those that need a shop on one and the same, the others alone."""
    figures: dict[str, Any] = {}
    together = [name for name in FIGURES if name in names]
    if together:
        with running(say) as system:
            figures["start"] = {"first_seconds": system.start_seconds}
            system.restart()
            figures["start"]["second_seconds"] = system.start_seconds
            figures["start"]["memory_mb"] = machine.memory_mb()
            for name in together:
                say(name)
                figures[name] = asyncio.run(FIGURES[name](system, size))
    for name in [name for name in ALONE if name in names]:
        say(name)
        figures[name] = ALONE[name](say, size)
    return figures


def rewrite() -> None:
    """`python -m bench tables`: tell the newest results again."""
    results = documents.newest()
    if results is None:
        raise SystemExit("bench: nothing was measured yet")
    documents.rewrite(results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["flame"]:
        flame.main(sys.argv[2:])
    elif sys.argv[1:] == ["tables"]:
        rewrite()
    else:
        main()
