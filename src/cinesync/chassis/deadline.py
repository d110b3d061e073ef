"""When a request must begin to be answered, for everything that is done for it.

A request gets its deadline where it arrives. What is done for it asks `remaining`: the database
gives a transaction no more time than that, a call to another service waits no longer and tells it
how long that is (`HEADER`), and a batch has the time of its most patient command. What waits all
the same is cancelled: one timer for all requests looks every quarter of a second, because
`asyncio.timeout` for each would cost more than all the rest of this.

Outside of a request, as in a background loop, there is no deadline.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cinesync.chassis import clock
from cinesync.chassis.problems import Unavailable

HEADER = "x-deadline-seconds"
TICK_SECONDS = 0.25
# What is left to tell of an end that comes from below: a database that hangs is left in this time.
MARGIN_SECONDS = 2.5
LEAST_SECONDS = 0.05
# What is loaded for one request is shared by others, and a stranger may send the header too.
ASKED_SECONDS_MIN = 4.0


class TookTooLong(Unavailable):
    """This takes longer than it should; look whether it happened before you try again."""


# By `clock.monotonic_seconds`.
_current: ContextVar[float | None] = ContextVar("deadline", default=None)


def _too_long() -> Exception:
    return TookTooLong(retry_after_seconds=2)


class Deadlines:
    """The requests of one process that wait for the beginning of their answer; or what is done
    for them in one place, with an `error` of its own."""

    def __init__(self, error: Callable[[], Exception] = _too_long) -> None:
        self.error = error
        self._running: dict[Within, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def within(self, seconds: float) -> "Within":
        """A block that takes no longer, unless it is lifted. It raises `error`."""
        return Within(self, clock.monotonic_seconds() + seconds)

    def add(self, one: "Within", loop: asyncio.AbstractEventLoop) -> None:
        """Look after it."""
        self._running[one] = None
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(TICK_SECONDS, self._tick, loop)

    def lift(self, one: "Within") -> None:
        """The answer has begun: it may take its time, and what is done for it too."""
        self.remove(one)
        _current.set(None)

    def remove(self, one: "Within") -> None:
        """It has ended."""
        self._running.pop(one, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = clock.monotonic_seconds()
        for one in [one for one in self._running if one.at <= now]:
            del self._running[one]
            one.end()
        self._timer = loop.call_later(TICK_SECONDS, self._tick, loop) if self._running else None


class Within:
    """One request's time. A class, because a generator would cost a request twice as much."""

    __slots__ = ("_all", "_has_passed", "_task", "_token", "at")

    def __init__(self, everybody: Deadlines, at: float) -> None:
        self._all = everybody
        self._has_passed = False
        self.at = at

    def __enter__(self) -> "Within":
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._token = _current.set(self.at)
        self._all.add(self, loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._all.remove(self)
        _current.reset(self._token)
        if self._has_passed and self._task is not None:
            others = self._task.uncancel()
            if kind is asyncio.CancelledError and not others:
                raise self._all.error() from None

    def end(self) -> None:
        """Its time has passed."""
        self._has_passed = True
        if self._task is not None:
            self._task.cancel()


def current_at() -> float | None:
    """When this request's deadline is, by `clock.monotonic_seconds`; None: it has none."""
    return _current.get()


def carry(at: float | None) -> None:
    """What is done in this context from now on is for somebody with that deadline."""
    _current.set(at)


@contextmanager
def carried(seconds: float) -> Iterator[None]:
    """The same for a block, from now; nobody cancels it: for threads."""
    token = _current.set(clock.monotonic_seconds() + seconds)
    try:
        yield
    finally:
        _current.reset(token)


def remaining(seconds_max: float, *, margin_seconds: float = 0.0) -> float:
    """How long something may take: no longer than `seconds_max`, and than there is time."""
    at = current_at()
    if at is None:
        return seconds_max
    left = at - margin_seconds - clock.monotonic_seconds()
    return max(min(seconds_max, left), LEAST_SECONDS)


def headers() -> dict[str, str]:
    """What a call to another service carries."""
    if current_at() is None:
        return {}
    return {HEADER: f"{remaining(math.inf):.2f}"}


def asked_for(header: str | None, seconds_max: float) -> float:
    """The time of a request, of which its sender may want less, within reason."""
    if header is None:
        return seconds_max
    try:
        wanted = float(header)
    except ValueError:
        return seconds_max
    return (
        min(max(wanted, ASKED_SECONDS_MIN), seconds_max) if math.isfinite(wanted) else seconds_max
    )
