"""Runs commands that arrive while a transaction runs together in the next one.

Theory of operation. A commit costs the same for one command as for a hundred, so the load decides
the size of a batch: the first command starts a runner at once, alone; what arrives while its
transaction runs forms the next batch. No timer waits for more commands, so a quiet process answers
as quickly as without batches. The runner ends when nothing waits.

- A batch runs in order of arrival, and has one result or one exception for each command. Conflicts
  inside a batch are the command's business; conflicts between batches are the database's.
- When a whole batch fails, nothing was committed: each command runs alone, so that one bad command
  fails no other. `Unavailable` is different: the database is away, and everybody gets that answer.
- A client that left has cancelled its future: its command is dropped while it waits. Once its batch
  runs, its effect stays.
- A batch has the latest deadline of its commands, and a trace of its own that links to each of
  theirs. A runner that is cancelled resolves every future with `BrokenOff`: nobody waits for ever.

Hand-written, because batching of awaited calls into transactions with a result for each of them,
deadlines and links between traces is in no library that we know.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cinesync.chassis import deadline, telemetry
from cinesync.chassis.problems import Unavailable

C = TypeVar("C")
R = TypeVar("R")
_Waiting = tuple[C, asyncio.Future[R], float | None, str]

BATCH_MAX = 500
WAITING_MAX = 2_000  # some two seconds of work; later commands get 503


class Overloaded(Unavailable):
    """More people are asking than we can answer at once; please try again."""


class BrokenOff(Unavailable):
    """We were interrupted in the middle of this; look before you try again."""


class Batcher(Generic[C, R]):
    """Runs commands in batches of at most `batch_max`, in arrival order, with no added delay.

    While more than a batch waits, up to `at_once` of them run side by side.

    `run_batch` returns one result per command; an exception in its place is raised to the submitter
    of that command. When a whole batch fails, each command runs alone.
    """

    def __init__(
        self,
        name: str,
        run_batch: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]],
        *,
        batch_max: int = BATCH_MAX,
        waiting_max: int = WAITING_MAX,
        at_once: int = 1,
    ) -> None:
        self._name = name
        self._run_batch = run_batch
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._at_once = at_once
        self._waiting: list[_Waiting[C, R]] = []
        self._runners: set[asyncio.Task[None]] = set()
        self._closed = False

    async def submit(self, command: C) -> R:
        """The command's own result. Raises Overloaded (503) when too many wait."""
        if self._closed or len(self._waiting) >= self._waiting_max:
            raise Overloaded(retry_after_seconds=1)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        trace = telemetry.current_trace()
        self._waiting.append((command, future, deadline.current_at(), trace))
        if not self._runners or self._is_behind():
            # In a context of its own: a batch belongs to no single request.
            runner = asyncio.get_running_loop().create_task(
                self._run(), name=f"batcher {self._name}", context=contextvars.Context()
            )
            self._runners.add(runner)
        return await future

    async def close(self) -> None:
        """Take nothing new, and finish what waits."""
        self._closed = True
        await asyncio.gather(*self._runners)

    def _is_behind(self) -> bool:
        return len(self._waiting) > self._batch_max and len(self._runners) < self._at_once

    async def _run(self) -> None:
        batch: list[_Waiting[C, R]] = []
        try:
            while self._waiting:
                batch, self._waiting = (
                    self._waiting[: self._batch_max],
                    self._waiting[self._batch_max :],
                )
                # A client that left has cancelled its future.
                batch = [waiting for waiting in batch if not waiting[1].done()]
                if batch:
                    # The latest deadline: commands with an earlier one need not wait for it.
                    ends = [at for _, _, at, _ in batch if at is not None]
                    deadline.carry(max(ends) if len(ends) == len(batch) else None)
                    traces = (trace for *_, trace in batch)
                    with telemetry.batch_span(f"batch {self._name}", traces):
                        results = await self._results([command for command, *_ in batch])
                    _resolve([future for _, future, *_ in batch], results)
        finally:
            runner = asyncio.current_task()
            assert runner is not None
            self._runners.remove(runner)
            # Commands are left only when this task was cancelled. They get an error: their futures
            # must not wait for ever, nor be cancelled.
            left = batch if self._runners else [*batch, *self._waiting]
            _resolve(
                [future for _, future, *_ in left], [BrokenOff(retry_after_seconds=1)] * len(left)
            )

    async def _results(self, commands: Sequence[C]) -> Sequence[R | Exception]:
        telemetry.BATCH_SIZE.labels(self._name).observe(len(commands))
        try:
            results = await self._run_batch(commands)
        except Unavailable as error:
            return [error] * len(commands)
        except Exception as error:  # noqa: BLE001 raised to the submitter
            if len(commands) == 1:
                return [error]
            return [result for one in commands for result in await self._results([one])]
        if len(results) != len(commands):  # committed: never to be tried again
            return [RuntimeError(f"{self._name} must answer each command")] * len(commands)
        return results


def _resolve(futures: Sequence[asyncio.Future[R]], results: Sequence[R | Exception]) -> None:
    """Resolve the futures of those that still wait."""
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
