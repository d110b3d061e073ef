"""`python -m bench flame NAME LABEL`: a process under load, as a flame graph in docs/pictures."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle
from pathlib import Path

import rich_click as click
from rich.console import Console

from bench import machine
from bench.figures import holds, purchases, reads
from bench.load import flows
from bench.load.driver import drive
from bench.load.flows import Fetch, Flow, Round
from bench.load.generator import Plan
from bench.load.wire import request
from bench.system import System, running

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SAMPLES_PER_SECOND = 200
SPARE_SECONDS = 3.0  # the load outlasts the recording

err = Console(stderr=True)


def say(what: str) -> None:
    """Progress, on stderr."""
    err.print(f"[dim]bench:[/dim] {what}", highlight=False)


async def _buyers(system: System, seconds: float) -> list[Flow]:
    shows = await system.shows(seats_min=30)
    warm_up = await purchases.closed(system, purchases.FULL, shows, purchases.WARM_UP)
    count = int(warm_up["answered_per_second"] * seconds * purchases.FASTER_WHEN_WARM)
    return list(await purchases.buyers_of(system, system.endpoint, shows, count))


async def _holders(system: System, seconds: float) -> list[Flow]:
    shows = await system.shows(seats_min=30)
    warm_up = await holds.most(system, holds.FULL, shows, holds.WARM_UP)
    count = int(warm_up["per_second"] * seconds * holds.FASTER_WHEN_WARM)
    pairs = zip(await system.guests(count), cycle(shows), strict=False)
    return [flows.hold(system.endpoint, token, show_id) for token, show_id in pairs]


async def _readers(system: System, _seconds: float) -> Round:
    shows = (await system.shows())[:20]
    paths = [f"/api/booking/shows/{show_id}/seats" for show_id in shows]
    requests = [
        request("GET", path, system.endpoint.host, None, **reads.AS_BROWSERS) for path in paths
    ]
    return Round([Fetch(data) for data in requests], 10_000_000)


LOADS: Mapping[str, Callable[[System, float], Awaitable[list[Flow] | Round]]] = {
    "purchases": _buyers,
    "holds": _holders,
    "seat_maps": _readers,
}


async def record(system: System, name: str, kind: str, seconds: float, picture: Path) -> None:
    """Drive the load, and have py-spy look at the busiest process of a kind meanwhile."""
    requests = await LOADS[name](system, seconds + SPARE_SECONDS)
    endpoint = system.endpoint
    plan = Plan(
        endpoint.host,
        endpoint.port,
        requests,
        purchases.CONNECTIONS,
        seconds=seconds + SPARE_SECONDS,
    )
    driving = asyncio.create_task(drive(plan))
    process = await asyncio.create_subprocess_exec(
        *("py-spy", "record", "--pid", str(busiest(kind)), "--output", picture.name),
        *("--duration", str(round(seconds)), "--rate", str(SAMPLES_PER_SECOND), "--nonblocking"),
        cwd=picture.parent,  # the picture contains its own command
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, output = await process.communicate()
    outcome = await driving
    if process.returncode != 0:
        raise click.ClickException(output.decode().strip())
    say(f"{outcome.report.began} begun in {outcome.report.seconds:.1f} s; {picture}")


def busiest(kind: str) -> int:
    """The process of that kind that has used the most CPU time. Raises ClickException."""
    own = machine.own_processes()
    of_kind = [process for process, its in own if its == kind]
    if not of_kind:
        kinds = ", ".join(sorted({its for _, its in own}))
        raise click.ClickException(f"nothing of kind {kind} runs; there are {kinds}")
    return max(of_kind, key=lambda process: process.ticks).pid


@click.command()
@click.argument("name", type=click.Choice(list(LOADS)))
@click.argument("label")
@click.option("--process", "kind", default="shop", show_default=True, help="bank, validators, …")
@click.option("--seconds", default=10.0, show_default=True)
def main(name: str, label: str, kind: str, seconds: float) -> None:
    """Record NAME under load into docs/pictures/flame-NAME[-PROCESS]-LABEL.svg."""
    if shutil.which("py-spy") is None:
        raise click.ClickException(
            "py-spy is not on PATH; `python -m pip install py-spy` gets it (it needs ptrace)"
        )
    suffix = "" if kind == "shop" else f"-{kind}"
    PICTURES.mkdir(exist_ok=True)
    picture = PICTURES / f"flame-{name}{suffix}-{label}.svg"
    with running(say) as system:
        asyncio.run(record(system, name, kind, seconds, picture))
