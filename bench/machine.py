"""What the figures were taken on, and the CPU time of a shop's processes."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


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
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time so far of these processes and all their descendants."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            # Its own and its ended children's.
            ticks[int(entry.name)] = sum(int(field) for field in fields[11:15])
    pending, total = list(roots), 0
    while pending:
        pid = pending.pop()
        total += ticks.get(pid, 0)
        pending += parents.get(pid, [])
    return total / TICKS_PER_SECOND
