"""When requests should start, decided before the clock starts. Pure."""

import random
from collections.abc import Iterator


def poisson(rate: float, count: int, seed: int) -> list[float]:
    """Seconds from the start; independent buyers, `rate` a second on average."""
    chance = random.Random(seed)
    return list(_summed(chance.expovariate(rate) for _ in range(count)))


def constant(rate: float, count: int) -> list[float]:
    """Seconds from the start, evenly spaced."""
    return [number / rate for number in range(count)]


def _summed(gaps: Iterator[float]) -> Iterator[float]:
    at_seconds = 0.0
    for gap in gaps:
        at_seconds += gap
        yield at_seconds
