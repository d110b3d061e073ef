"""Limits how many payments fail from one address: whoever tries stolen cards fails often.

Counts in this process only, so that a payment costs no query: N replicas allow N times as many.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from cinesync.chassis import clock
from cinesync.payment.model import PaymentLimits, TooManyFailures

ADDRESSES_MAX: Final = 10_000


class FailureLimit:
    """One per process. `now` is in seconds of any clock that does not jump."""

    def __init__(
        self, limits: PaymentLimits, now: Callable[[], float] = clock.monotonic_seconds
    ) -> None:
        self._limits = limits
        self._now = now
        self._failures: LRUCache[str, deque[float]] = LRUCache(ADDRESSES_MAX)

    def check(self, address: str) -> None:
        """Raises TooManyFailures."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < self._limits.failures_per_address:
            return
        seconds = failures[0] + self._limits.failure_window_seconds - self._now()
        if seconds > 0:
            raise TooManyFailures(retry_after_seconds=int(seconds) + 1)

    def record(self, address: str) -> None:
        """A payment from this address failed."""
        latest = self._failures.get(address)
        if latest is None:
            latest = self._failures[address] = deque(maxlen=self._limits.failures_per_address)
        latest.append(self._now())
