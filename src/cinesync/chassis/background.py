"""Background loops that cannot end unnoticed: they are restarted, counted, and watched.

A loop is a coroutine function that runs until it is cancelled and calls `succeeded()` after each
round that did its work. Any other end restarts it after a pause:

- an exception, or a plain return;
- a CancelledError that does not come from `close`, but from a future that was cancelled elsewhere;
- the end of the task that restarts it, for any reason.

A loop that runs without a success is not restarted, which would not help. `troubles()` reports it,
and with it the health of the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge

from cinesync.chassis import clock, telemetry
from cinesync.chassis.backoff import Backoff

log = telemetry.get_logger(__name__)

Run = Callable[[], Awaitable[None]]

RESTARTING = Backoff(first_seconds=0.1, seconds_max=5.0)
SILENT_SECONDS_MAX = 60.0

RESTARTS = Counter(
    "cinesync_loop_restarts_total", "Background loops that ended and were restarted.", ["loop"]
)
LAST_SUCCESS = Gauge(
    "cinesync_loop_last_success_timestamp_seconds",
    "When a background loop last did its work.",
    ["loop"],
)
ALIVE = Gauge("cinesync_loop_alive", "1 while the loop has succeeded not too long ago.", ["loop"])


@dataclass(eq=False)
class Loop:
    """A background loop and its state.

    `round_seconds` is the usual time of a round; None for a loop that does not report success.
    `silent_seconds_max` is the time beyond it without a success; None for that of all loops.
    """

    name: str
    run: Run
    round_seconds: float | None = 0.0
    silent_seconds_max: float | None = None
    ends_by_itself: bool = False  # at shutdown, after finishing its work
    succeeded_at: float = field(default_factory=clock.monotonic_seconds)
    restarts: int = 0
    last_error: str = ""

    @property
    def silent_seconds(self) -> float:
        """Since its last success, or its start."""
        return clock.monotonic_seconds() - self.succeeded_at

    def trouble(self) -> str | None:
        """Why the loop does not do its work; None when it does."""
        if self.round_seconds is None:
            return None
        silent_seconds = self.silent_seconds
        if silent_seconds <= (self.silent_seconds_max or 0.0) + self.round_seconds:
            return None
        why = f": {self.last_error}" if self.last_error else ""
        return f"no success for {silent_seconds:.0f} s{why}"

    def note_success(self) -> None:
        """A round did its work."""
        self.succeeded_at = clock.monotonic_seconds()
        self.last_error = ""
        LAST_SUCCESS.labels(self.name).set(clock.now().timestamp())

    def note_failure(self, error: BaseException) -> None:
        """A round failed; `trouble` names the error when failures last too long."""
        self.last_error = repr(error)


_running: ContextVar[Loop | None] = ContextVar("loop", default=None)


def succeeded() -> None:
    """The running loop has done a round. Outside a loop, nothing."""
    loop = _running.get()
    if loop is not None:
        loop.note_success()


def failed(error: BaseException) -> None:
    """The running loop could not do its round, and will retry by itself."""
    loop = _running.get()
    if loop is not None:
        loop.note_failure(error)


class Loops:
    """The loops of one process, or of one part of it."""

    def __init__(self, *, silent_seconds_max: float = SILENT_SECONDS_MAX) -> None:
        self.loops: list[Loop] = []
        self.silent_seconds_max = silent_seconds_max
        self._tasks: dict[Loop, asyncio.Task[None]] = {}
        self._closing = False

    def start(self, *loops: Loop) -> None:
        """Run each until `close`."""
        for loop in loops:
            self._start(loop)

    def _start(self, loop: Loop) -> None:
        self.loops.append(loop)
        if loop.silent_seconds_max is None:
            loop.silent_seconds_max = self.silent_seconds_max
        loop.succeeded_at = clock.monotonic_seconds()
        ALIVE.labels(loop.name).set_function(lambda: float(loop.trouble() is None))
        self._begin(loop)

    def troubles(self) -> dict[str, str]:
        """Why loops do not do their work, by loop."""
        found = ((loop.name, loop.trouble()) for loop in self.loops)
        return {name: trouble for name, trouble in found if trouble}

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of all loops."""
        return list(self._tasks.values())

    async def close(self, *, seconds: float = 0.0) -> None:
        """Cancel all loops and wait; those that end by themselves have `seconds` for it."""
        self._closing = True
        for loop, task in self._tasks.items():
            if not loop.ends_by_itself:
                task.cancel()
        tasks = self.tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, loop: Loop) -> None:
        task = asyncio.get_running_loop().create_task(
            self._keep_running(loop), name=f"loop {loop.name}"
        )
        self._tasks[loop] = task
        task.add_done_callback(lambda ended: self._ended(loop, ended))

    def _ended(self, loop: Loop, task: asyncio.Task[None]) -> None:
        """Restarts a loop whose task ended without being cancelled, as when memory ran out."""
        if task.cancelled() or self._closing:
            return
        _note_end(loop, repr(task.exception()))
        self._begin(loop)

    async def _keep_running(self, loop: Loop) -> None:
        _running.set(loop)  # in the context of this task and its children
        failures = 0
        while True:
            started = clock.monotonic_seconds()
            reason = "it returned"
            try:
                await loop.run()
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                loop.note_failure(error)
                reason = "something it waited for was cancelled"
            except Exception as error:
                loop.note_failure(error)
                reason = repr(error)
                log.exception("background.crashed", loop=loop.name)
            if self._closing:
                return
            _note_end(loop, reason)
            ran_seconds = clock.monotonic_seconds() - started
            failures = 1 if ran_seconds > RESTARTING.seconds_max else failures + 1
            await asyncio.sleep(RESTARTING.pause_seconds(failures))


def _is_cancelled() -> bool:
    """Whether this task is cancelled, and not only a future that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _note_end(loop: Loop, reason: str) -> None:
    loop.restarts += 1
    RESTARTS.labels(loop.name).inc()
    log.warning("background.restarted", loop=loop.name, reason=reason, restarts=loop.restarts)
