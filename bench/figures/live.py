"""Live seats: from the change of a seat to the last of many event streams of its show."""

import asyncio
import pickle
import resource
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import machine
from bench.load import flows
from bench.load.caller import Caller
from bench.load.latency import summarise
from bench.load.pipe import READY
from bench.load.subscribers import Plan
from bench.stock import Auditorium, add_shows
from bench.system import System

SPARE_FILES = 500
HEARD_SECONDS = 2.0
ROOM = Auditorium(rows=20, seats_in_row=20)
COMMAND = "from bench.load.subscribers import main; main()"


@dataclass(frozen=True, slots=True)
class Load:
    """`changes` of a seat, `pause_seconds` apart."""

    listeners: int
    changes: int
    pause_seconds: float


QUICK = Load(listeners=500, changes=10, pause_seconds=0.3)
FULL = Load(listeners=5_000, changes=40, pause_seconds=0.5)


async def measure(system: System, load: Load) -> dict[str, Any]:
    """Buyers take one seat after the other; everybody listens."""
    [show_id] = await add_shows(system, 1, ROOM)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(load.listeners, files - SPARE_FILES)
    path = f"/api/booking/shows/{show_id}/live"
    plan = Plan(system.endpoint.host, system.endpoint.port, path, count)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pickle.dumps(plan))
    if await process.stdout.readline() != READY:
        raise RuntimeError("the subscribers did not connect")
    memory = machine.memory_mb()
    before = machine.cpu_seconds()
    sent = await _change(system, show_id, load)
    cpu = machine.spent(before, machine.cpu_seconds())
    process.stdin.write(b"!")
    received, opened, lost = pickle.loads(await process.stdout.read())
    await process.wait()
    messages = max(sum(len(times) for times in received.values()), 1)
    return {
        **summary(sent, received, opened),
        "asked_for": load.listeners,
        "lost": lost,
        "memory_mb": memory,
        "cpu_ms_each": {k: round(s * 1000 / messages, 4) for k, s in cpu.items()},
    }


async def _change(system: System, show_id: str, load: Load) -> list[float]:
    """The times at which each hold was sent."""
    caller = await Caller.connect(system.endpoint)
    sent = []
    for token in await system.guests(load.changes):
        sent.append(time.perf_counter())
        answer = await caller.call(flows.hold(system.endpoint, token, show_id).data)
        assert answer.status == 201, answer.body
        await asyncio.sleep(load.pause_seconds)
    await asyncio.sleep(HEARD_SECONDS)
    caller.close()
    return sent


def summary(
    sent: Sequence[float], received: Mapping[int, "array[float]"], listeners: int
) -> dict[str, Any]:
    """The n-th version is the n-th change: nobody else touches that show. Latency from when the
    hold was sent: its own time is part of it."""
    versions = [received[version] for version in sorted(received)]
    pairs = list(zip(sent, versions, strict=False))
    every = [time - requests for requests, times in pairs for time in times]
    last = [max(times) - requests for requests, times in pairs]
    found = {"heard": summarise(every), "last": summarise(last)}
    return {
        "listeners": listeners,
        "changes": len(sent),
        "unheard": len(sent) * listeners - len(every),
    } | {name: asdict(latency) if latency else None for name, latency in found.items()}
