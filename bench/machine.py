"""What the figures were taken on, and what each kind of process used: CPU time and memory."""

import os
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PACE_STEPS = 3_000_000
GENERATOR = "generator"
BENCH = "bench"

# The first word of a command line that is found here names the process's kind.
WORDS: Mapping[str, str] = {
    "bench.load": GENERATOR,
    "bench.baseline.app:create_app": "baseline",
    "pgbench": GENERATOR,
    "postgres": "postgres",
    "caddy": "gateway",
    "beam.smp": "rabbitmq",
    "rabbitmq-server": "rabbitmq",
    "epmd": "rabbitmq",
    "bank": "bank",
    "validator": "validators",
}


@dataclass(frozen=True, slots=True)
class Process:
    """A line of /proc. `ended_ticks` is the time of its children that ended and were waited for."""

    pid: int
    parent: int
    command: Sequence[str]
    ticks: int
    ended_ticks: int


def describe() -> dict[str, str | int]:
    """Enough to compare two results."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    memory_kb = Path("/proc/meminfo").read_text().split()[1]
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_gb": round(int(memory_kb) / 1_000_000),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def pace_ms() -> float:
    """A fixed piece of Python work, by the clock: how fast the machine is just now."""
    began, total = time.perf_counter(), 0
    for step in range(PACE_STEPS):
        total += step * step % 7
    return round((time.perf_counter() - began) * 1000, 1)


def processor_ticks() -> dict[str, int]:
    """What all processors together did since the machine started (proc(5), `cpu` in /proc/stat).

    `stolen` they would have worked, had the host not given them to other machines.
    """
    line = (PROC / "stat").read_text().partition("\n")[0]
    user, nice, system, idle, disk, irq, softirq, stolen = (int(n) for n in line.split()[1:9])
    busy = user + nice + system + irq + softirq
    return {"busy": busy, "idle": idle, "disk": disk, "stolen": stolen}


def percent(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, float]:
    """Of the time between two looks."""
    ticks = {state: count - before[state] for state, count in after.items()}
    every = max(sum(ticks.values()), 1)
    return {state: round(100 * count / every, 1) for state, count in ticks.items()}


def cpu_seconds(extra_roots: Collection[int] = ()) -> dict[str, float]:
    """So far, by kind: of this process, its descendants, and those of `extra_roots`."""
    cpu: dict[str, float] = {}
    for process, kind in own_processes(extra_roots):
        # Of what our own children used before they ended, nobody knows the kind any more.
        ended = 0 if process.pid == os.getpid() else process.ended_ticks
        cpu[kind] = cpu.get(kind, 0.0) + (process.ticks + ended) / TICKS_PER_SECOND
    return cpu


def own_processes(extra_roots: Collection[int] = ()) -> list[tuple[Process, str]]:
    """This process, its descendants and those of `extra_roots`, each with its kind."""
    return kinds_of(processes(), os.getpid(), extra_roots)


def memory_mb(extra_roots: Collection[int] = ()) -> dict[str, float]:
    """Proportional set size by kind: a page that several processes share is counted once."""
    memory: dict[str, float] = {}
    for process, kind in own_processes(extra_roots):
        try:
            rollup = (PROC / str(process.pid) / "smaps_rollup").read_text()
        except OSError:
            continue  # it ended
        kilobytes = next(int(line.split()[1]) for line in rollup.splitlines() if "Pss:" in line)
        memory[kind] = memory.get(kind, 0.0) + kilobytes / 1000
    return {kind: round(megabytes, 1) for kind, megabytes in sorted(memory.items())}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds by kind between two looks."""
    both = {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}
    return {kind: seconds for kind, seconds in sorted(both.items()) if seconds > 0}


def kinds_of(
    found: Sequence[Process], own: int, extra_roots: Collection[int] = ()
) -> list[tuple[Process, str]]:
    """Each process is of its own kind; one that its words do not name, of its parent's."""
    children: dict[int, list[Process]] = {}
    for process in found:
        children.setdefault(process.parent, []).append(process)
    pending = [(p, kind_of(p.command, BENCH)) for p in found if p.pid in {own, *extra_roots}]
    kinds: dict[int, tuple[Process, str]] = {}
    while pending:
        process, kind = pending.pop()
        kinds[process.pid] = (process, kind)
        pending += [(p, kind_of(p.command, kind)) for p in children.get(process.pid, [])]
    return list(kinds.values())


def kind_of(command: Sequence[str], parents: str) -> str:
    """`serve booking` is "booking"; `serve all` is "shop"."""
    words = [Path(word).name for word in command]
    if "serve" in words[:-1]:
        service = words[words.index("serve") + 1]
        return "shop" if service == "all" else service
    return next((WORDS[word.rstrip(":")] for word in words if word.rstrip(":") in WORDS), parents)


def processes() -> list[Process]:
    """Everything that runs."""
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it ended
            words = command.replace("\0", " ").split()
            utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
            found.append(
                Process(
                    pid=int(folder.name),
                    parent=int(fields[1]),
                    command=words,
                    ticks=utime + stime,
                    ended_ticks=cutime + cstime,
                )
            )
    return found
