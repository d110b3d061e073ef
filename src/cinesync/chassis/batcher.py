"""Commands that arrive while a transaction runs are run together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cinesync.chassis import telemetry
from cinesync.chassis.problems import Unavailable

C = TypeVar("C")
R = TypeVar("R")

BATCH_MAX = 100
WAITING_MAX = 10_000


class Overloaded(Unavailable):
    """More people are asking than we can answer at once; please try again."""


class Batcher(Generic[C, R]):
    """Runs commands in batches of at most `batch_max`, in arrival order, with no added delay.

    `run_batch` answers one result per command; an exception in a result's place is raised to
    the one who submitted that command. When a whole batch fails, each command is tried alone.
    """

    def __init__(
        self,
        name: str,
        run_batch: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]],
        *,
        batch_max: int = BATCH_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._name = name
        self._run_batch = run_batch
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: list[tuple[C, asyncio.Future[R]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, command: C) -> R:
        """The command's own result. Raises Overloaded (503) when too many wait."""
        if self._closed or len(self._waiting) >= self._waiting_max:
            raise Overloaded(retry_after_seconds=1)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name=f"batcher {self._name}")
        return await future

    async def close(self) -> None:
        """Take nothing new, and finish what waits."""
        self._closed = True
        if self._runner is not None:
            await self._runner

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = (
                    self._waiting[: self._batch_max],
                    self._waiting[self._batch_max :],
                )
                # No work for a client that left.
                batch = [(command, future) for command, future in batch if not future.done()]
                if batch:
                    await self._answer(batch)
        finally:
            self._runner = None

    async def _answer(self, batch: list[tuple[C, asyncio.Future[R]]]) -> None:
        telemetry.BATCH_SIZE.labels(self._name).observe(len(batch))
        results: Sequence[R | Exception]
        try:
            results = await self._run_batch([command for command, _ in batch])
            assert len(results) == len(batch), f"{self._name} must answer each command"
        except Unavailable as error:
            results = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 raised to who asked
            if len(batch) > 1:
                for one in batch:
                    await self._answer([one])
                return
            results = [error]
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
