"""Runs a plan in a generator process and counts the CPU time that everybody used meanwhile."""

import asyncio
import pickle
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench import machine
from bench.load.generator import Plan, Report
from bench.load.latency import summarise
from bench.load.pipe import READY

Settled = Callable[[Report], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A report, CPU seconds by kind of process, and seconds until everything had settled.

    `processors` says in percent what they did meanwhile, for all processes.
    """

    report: Report
    cpu_seconds: Mapping[str, float]
    settled_seconds: float
    processors: Mapping[str, float]

    def count(self, step: str, status: int) -> int:
        """Answers of a status."""
        return self.report.answers[step, status]

    def cpu_ms_each(self, count: int) -> dict[str, float]:
        """By kind; `all` without the generator and the bench."""
        each = {
            kind: round(seconds * 1000 / max(count, 1), 3)
            for kind, seconds in self.cpu_seconds.items()
        }
        load = {machine.GENERATOR, machine.BENCH}
        each["all"] = round(sum(ms for kind, ms in each.items() if kind not in load), 3)
        return each

    def latencies(self) -> dict[str, Any]:
        """Of each step and of all together."""
        summaries = {step: summarise(values) for step, values in self.report.latencies.items()}
        return {step: asdict(summary) for step, summary in summaries.items() if summary}

    def lag(self) -> dict[str, Any] | None:
        """How late the generator itself was."""
        summary = summarise(self.report.lag)
        return asdict(summary) if summary else None

    def statuses(self) -> dict[str, int]:
        """As JSON wants them; 0 stands for a connection that ended."""
        return {f"{step} {status}": n for (step, status), n in sorted(self.report.answers.items())}


async def drive(
    plan: Plan, settled: Settled | None = None, extra_roots: Collection[int] = ()
) -> Outcome:
    """The clock starts when the generator has all its requests and connections ready.

    `settled` returns when what the requests set off is done; CPU time counts until then.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pickle.dumps(plan))
        await process.stdin.drain()
        if await process.stdout.readline() != READY:
            raise RuntimeError("the load generator did not start")
        loop = asyncio.get_running_loop()
        before, began = machine.cpu_seconds(extra_roots), loop.time()
        ticks_before = machine.processor_ticks()
        process.stdin.write(b"!")
        data = await process.stdout.read()
        report: Report = pickle.loads(data)
        if settled is not None:
            await settled(report)
        processors = machine.percent(ticks_before, machine.processor_ticks())
        settled_seconds = loop.time() - began
        cpu = machine.spent(before, machine.cpu_seconds(extra_roots))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()  # a load without a bench would go on
    cpu[machine.GENERATOR] = report.cpu_seconds
    return Outcome(report, cpu, settled_seconds, processors)
