"""`python -m bench [NAME…]`: start a shop of its own, measure it, print and store the figures.

`python -m bench tables` writes the tables from the newest results; `python -m bench flame NAME
LABEL` records a flame graph.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import rich_click as click
from rich.console import Console

from bench import documents, flame, machine
from bench.suite import ALONE, FIGURES, LONG, ONCE, Size
from bench.system import System, running
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
@click.option("--skip", multiple=True, type=click.Choice([*FIGURES, *ALONE]), help="Leave out.")
@click.option("--rate", type=float, help="Of open loops, a second.")
@click.option("--seconds", type=float, help="Of each loop.")
@click.option("--connections", type=int, help="Of closed loops.")
def main(
    names: tuple[str, ...],
    *,
    quick: bool,
    repeat: int,
    skip: tuple[str, ...],
    rate: float | None,
    seconds: float | None,
    connections: int | None,
) -> None:
    """Measure NAMES, or everything; everything at full size is written to results/ and README."""
    allow_files()
    size = Size(quick, rate, seconds, connections)
    is_kept = not names and size == Size()
    runs: list[dict[str, Any]] = []
    results = {
        "machine": machine.describe(),
        "measured_at": clock.now().isoformat(timespec="seconds"),
        "runs": runs,
    }
    for number in range(repeat):
        runs.append({})
        wanted = chosen(names, first=number == 0, quick=quick)
        for name, figures in measured([name for name in wanted if name not in skip], size):
            runs[-1][name] = figures
            if is_kept:
                documents.save(results)
    if is_kept:
        documents.rewrite(results)
    else:
        out.print_json(json.dumps(results))
    out.print(documents.tables(results), markup=False, highlight=False)
    if failed := sorted({name for run in runs for name in run if "failed" in run[name]}):
        raise click.ClickException(f"failed: {', '.join(failed)}")


def chosen(names: tuple[str, ...], *, first: bool = True, quick: bool = False) -> list[str]:
    """What a run measures, in order: what the command names, or all but what takes too long."""
    everything = [*FIGURES, *ALONE]
    if names:
        return [name for name in everything if name in names]
    left_out = (LONG if quick else frozenset()) | (frozenset() if first else ONCE)
    return [name for name in everything if name not in left_out]


def measured(names: list[str], size: Size) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that need a shop on one and the same, the others alone; one after the other."""
    together = [name for name in names if name in FIGURES]
    if together:
        with running(say) as system:
            first_seconds = system.start_seconds
            system.restart()
            yield (
                "start",
                {
                    "first_seconds": first_seconds,
                    "second_seconds": system.start_seconds,
                    "memory_mb": machine.memory_mb(),
                },
            )
            for name in together:
                yield name, attempt(name, partial(on_shop, name, system, size))
    for name in names:
        if name in ALONE:
            yield name, attempt(name, partial(ALONE[name], say, size))


def on_shop(name: str, system: System, size: Size) -> dict[str, Any]:
    """One figure."""
    return asyncio.run(FIGURES[name](system, size))


def attempt(name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures, and the machine's speed before them; after a failure the others go on."""
    pace_ms, began = machine.pace_ms(), time.perf_counter()
    say(name)
    try:
        return work() | {"pace_ms": pace_ms}
    except Exception as error:  # noqa: BLE001 half an hour of other figures must not be lost
        err.print_exception()
        return {"failed": repr(error)}
    finally:
        say(f"{name} took {time.perf_counter() - began:.0f} s")


def allow_files() -> None:
    """Thousands of listeners need as many files, here and in the processes we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def rewrite() -> None:
    """`python -m bench tables`: write the tables from the newest results."""
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
