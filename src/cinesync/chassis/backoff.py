"""Pauses between retries: capped exponential backoff with jitter, for every loop that retries.

Written by hand: stamina and tenacity wrap a function that they call again. Our retries are loops
that own a connection, a process or a row with its count of attempts, and need the pause alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cinesync.chassis import clock

DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause doubles with each failure in a row, from `first_seconds` to `seconds_max`.

    `jitter` is the share of a pause that is random, so that clients that failed together do not
    retry together: 0 is none, 1 anything between no pause and the whole. `random` returns a number
    from 0 to 1.
    """

    first_seconds: float
    seconds_max: float
    jitter: float = 0.5
    random: Callable[[], float] = clock.random_share

    def pause_seconds(self, failures: int) -> float:
        """The pause after so many failures in a row; none without one."""
        if failures < 1:
            return 0.0
        doublings = min(failures - 1, DOUBLINGS_MAX)
        whole_seconds = min(self.first_seconds * 2.0**doublings, self.seconds_max)
        return whole_seconds * (1 - self.jitter * self.random())
