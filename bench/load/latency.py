"""Percentiles of every single measurement; nothing is sampled or put into buckets. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value that at least `percent` of all do not exceed."""
    assert ordered, "of nothing there is none"
    return ordered[max(ceil(len(ordered) * percent / 100) - 1, 0)]


def summarise(seconds: Sequence[float]) -> Latency | None:
    """None when nothing was measured."""
    if not seconds:
        return None
    ordered = sorted(value * 1000 for value in seconds)
    p50, p90, p99 = (round(percentile(ordered, percent), 2) for percent in (50, 90, 99))
    return Latency(len(ordered), p50, p90, p99, round(ordered[-1], 2))
