"""Argon2id hashes outside the event loop: a few threads, bounded queues, equal work for any guess.

Verifying and making hashes have separate threads and queues, so that many sign-ups delay other
sign-ups, but never sign-ins.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import Gauge, Histogram
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from cinesync.chassis.problems import Unavailable

HASH_SECONDS = Histogram(
    "cinesync_auth_hash_seconds",
    "Time of one password hash, its wait for a thread included.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HASHES_WAITING = Gauge(
    "cinesync_auth_hashes_waiting", "Password hashes begun and not done.", ["queue"]
)

T = TypeVar("T")


class HashersBusy(Unavailable):
    """Too many people are signing in or up right now; please try again in a few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashCost:
    """OWASP's second Argon2id setting: as strong as the first, with less memory."""

    memory_kib: int = 19_456
    rounds: int = 2


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """`better_hash` replaces a stored hash that was made at a lower cost."""

    is_right: bool
    better_hash: str | None = None


def argon2id(cost: HashCost) -> PasswordHash:
    """The hash scheme at a cost."""
    hasher = Argon2Hasher(time_cost=cost.rounds, memory_cost=cost.memory_kib, parallelism=1)
    return PasswordHash((hasher,))


class HashQueue:
    """Threads with a bounded queue; what exceeds it is refused at once."""

    def __init__(self, name: str, *, threads: int, waiting_max: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"argon2 {name}")
        self._waiting = 0
        self._waiting_max = waiting_max
        self._gauge = HASHES_WAITING.labels(name)

    async def run(self, work: Callable[[], T]) -> T:
        """Raises HashersBusy."""
        if self._waiting >= self._waiting_max:
            raise HashersBusy(retry_after_seconds=2)
        self._waiting += 1
        self._gauge.inc()
        try:
            with HASH_SECONDS.time():
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
            self._gauge.dec()

    def close(self) -> None:
        """Cancel what waits; running hashes finish."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Passwords:
    """Hashes in one queue and verifies in another."""

    def __init__(self, cost: HashCost, *, verifying: HashQueue, hashing: HashQueue) -> None:
        self._scheme = argon2id(cost)
        self._verifying = verifying
        self._hashing = hashing
        # Verified against when no account exists, so that it takes as long as a wrong password.
        self._dummy_hash = self._scheme.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """Raises HashersBusy."""
        return await self._hashing.run(lambda: self._scheme.hash(password))

    async def verify(self, password: str, password_hash: str | None) -> PasswordCheck:
        """Without a hash the same work is done, and the password is wrong. Raises HashersBusy."""
        folded = unicodedata.normalize("NFKC", password)
        stored = password_hash or self._dummy_hash
        is_right, better_hash = await self._verifying.run(
            lambda: self._scheme.verify_and_update(folded, stored)
        )
        if password_hash is None:
            return PasswordCheck(is_right=False)
        return PasswordCheck(is_right, better_hash)

    async def close(self) -> None:
        """Cancel what waits; running hashes finish."""
        self._verifying.close()
        self._hashing.close()
