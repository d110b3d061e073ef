"""The deadline of a request: its response must begin by then.

A request gets its deadline when it arrives, and all its work reads the time that remains: a
transaction takes no longer, a call to another service waits no longer and passes the time on in
`HEADER`, and a batch has the latest deadline of its commands. Work that waits longer is cancelled:
one timer for all requests runs every quarter of a second, because `asyncio.timeout` for each takes
longer than everything else here.

Outside a request, as in a background loop, there is no deadline.
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
# Left for reporting: a transaction on a database that hangs ends so long before the deadline.
MARGIN_SECONDS = 2.5
LEAST_SECONDS = 0.05
# Requests share what one of them loads, and any client may send the header.
REQUESTED_SECONDS_MIN = 4.0


class TookTooLong(Unavailable):
    """This takes longer than it should; look whether it happened before you try again."""


# By `clock.monotonic_seconds`.
_current: ContextVar[float | None] = ContextVar("deadline", default=None)


def _too_long() -> Exception:
    return TookTooLong(retry_after_seconds=2)


class Deadlines:
    """The requests of one process whose response has not begun; or other work with a time limit,
    with an `error` of its own."""

    def __init__(self, error: Callable[[], Exception] = _too_long) -> None:
        self.error = error
        self._running: dict[Within, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def within(self, seconds: float) -> "Within":
        """A block that raises `error` when it takes longer, unless it is lifted."""
        return Within(self, clock.monotonic_seconds() + seconds)

    def add(self, one: "Within", loop: asyncio.AbstractEventLoop) -> None:
        """Watch it."""
        self._running[one] = None
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(TICK_SECONDS, self._tick, loop)

    def lift(self, one: "Within") -> None:
        """The response has begun: there is no deadline any more."""
        self.remove(one)
        _current.set(None)

    def remove(self, one: "Within") -> None:
        """The block has ended."""
        self._running.pop(one, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = clock.monotonic_seconds()
        for one in [one for one in self._running if one.at <= now]:
            del self._running[one]
            one.end()
        self._timer = loop.call_later(TICK_SECONDS, self._tick, loop) if self._running else None


class Within:
    """The time of one request. A class, because a generator takes twice as long."""

    __slots__ = ("_deadlines", "_has_passed", "_task", "_token", "at")

    def __init__(self, deadlines: Deadlines, at: float) -> None:
        self._deadlines = deadlines
        self._has_passed = False
        self.at = at

    def __enter__(self) -> "Within":
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._token = _current.set(self.at)
        self._deadlines.add(self, loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._deadlines.remove(self)
        _current.reset(self._token)
        if self._has_passed and self._task is not None:
            others = self._task.uncancel()
            if kind is asyncio.CancelledError and not others:
                raise self._deadlines.error() from None

    def end(self) -> None:
        """The time has passed."""
        self._has_passed = True
        if self._task is not None:
            self._task.cancel()


def current_at() -> float | None:
    """When this request's deadline is, by `clock.monotonic_seconds`; None: it has none."""
    return _current.get()


def carry(at: float | None) -> None:
    """Give the current context that deadline."""
    _current.set(at)


@contextmanager
def carried(seconds: float) -> Iterator[None]:
    """A deadline for a block in a thread, where nothing cancels it."""
    token = _current.set(clock.monotonic_seconds() + seconds)
    try:
        yield
    finally:
        _current.reset(token)


def remaining(seconds_max: float, *, margin_seconds: float = 0.0) -> float:
    """How long something may take: until the deadline, and `seconds_max` at most."""
    at = current_at()
    if at is None:
        return seconds_max
    left = at - margin_seconds - clock.monotonic_seconds()
    return max(min(seconds_max, left), LEAST_SECONDS)


def headers() -> dict[str, str]:
    """The headers of a call to another service."""
    if current_at() is None:
        return {}
    return {HEADER: f"{remaining(math.inf):.2f}"}


def requested_seconds(header: str | None, seconds_max: float) -> float:
    """The time of a request: `seconds_max`, or less if the client asks for less."""
    if header is None:
        return seconds_max
    try:
        wanted = float(header)
    except ValueError:
        return seconds_max
    return (
        min(max(wanted, REQUESTED_SECONDS_MIN), seconds_max)
        if math.isfinite(wanted)
        else seconds_max
    )
