"""When a transaction is tried again, for how long, and what its caller learns if that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from cinesync.chassis import clock, deadline
from cinesync.chassis.backoff import Backoff
from cinesync.chassis.problems import Unavailable
from cinesync.chassis.telemetry import DATABASE_RETRIES

T = TypeVar("T")

RETRY_SECONDS_MAX = 20.0
# Whole pauses are random: transactions that conflicted must not meet again.
BACKOFF = Backoff(first_seconds=0.002, seconds_max=0.5, jitter=1.0)

SERIALIZATION_STATES = frozenset({"40001", "40P01", "55P03"})
# The server is starting, stopping or full, or the connection broke: nothing was committed.
OUTAGE_STATES = frozenset({"57P01", "57P02", "57P03", "53300", "40003"})
CONNECTION_CLASS = "08"
# The disk is full, memory ran out, a file cannot be read or written: no request is wrong.
RESOURCE_CLASSES = ("53", "58")


class DatabaseAway(Unavailable):
    """Our database does not answer right now; please try again in a moment."""


class Contended(Unavailable):
    """Too many people want the same thing at this moment; please try again."""


class DatabaseFull(Unavailable):
    """Our database has no room to write this down right now; please try again in a moment."""


class FateUnknown(Unavailable):
    """We lost the database in the middle of this; look before you try again."""


class Attempts:
    """The attempts of one transaction, with pauses between them, ended by a deadline."""

    def __init__(self) -> None:
        seconds = deadline.remaining(RETRY_SECONDS_MAX, margin_seconds=deadline.MARGIN_SECONDS)
        self._deadline = clock.monotonic_seconds() + seconds
        self._failures = 0

    async def pause_or_raise(self, error: Exception, *, fate_unknown: bool) -> None:
        """Sleep if another try can help; else raise the error for the caller."""
        refusal = _refusal(error)
        if refusal is None:
            raise error
        DATABASE_RETRIES.labels(type(refusal).__name__).inc()
        # A full disk stays full for longer than the retries take.
        if isinstance(refusal, DatabaseFull) or clock.monotonic_seconds() > self._deadline:
            raise (FateUnknown() if fate_unknown else refusal) from error
        self._failures += 1
        await asyncio.sleep(BACKOFF.pause_seconds(self._failures))


async def retried(once: Callable[[], Awaitable[T]]) -> T:
    """Run `once` until it succeeds: for what a second run does not change."""
    attempts = Attempts()
    while True:
        try:
            return await once()
        except Exception as error:  # noqa: BLE001 other errors are raised again
            await attempts.pause_or_raise(error, fate_unknown=False)


def _refusal(error: Exception) -> Unavailable | None:
    """The error for the caller when retries run out; None when a retry cannot help."""
    state = sqlstate(error) or ""
    if state in SERIALIZATION_STATES:
        return Contended(retry_after_seconds=1)
    if state.startswith(RESOURCE_CLASSES) and state not in OUTAGE_STATES:
        return DatabaseFull(retry_after_seconds=5)
    return DatabaseAway(retry_after_seconds=2) if is_lost(error) else None


def is_lost(error: Exception) -> bool:
    """Whether the connection or the server went away."""
    state = sqlstate(error)
    if state in OUTAGE_STATES or (state or "").startswith(CONNECTION_CLASS):
        return True
    # A server that dies between two messages may leave asyncpg in the middle of an operation:
    # "cannot switch to state 12; another operation (2) is in progress".
    return isinstance(error, (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError))


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE behind a driver's error, if it has one."""
    return getattr(error, "sqlstate", None)
