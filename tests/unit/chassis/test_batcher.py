"""The batcher: commands that wait together run together, and everybody gets an answer."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from cinesync.chassis import telemetry
from cinesync.chassis.batcher import Batcher, BrokenOff, Overloaded
from cinesync.chassis.problems import NotFound, Unavailable

Answers = Sequence[str | Exception]


class Kitchen:
    """Notes each batch; the gate is shut until a test opens it."""

    def __init__(self, cook: Callable[[Sequence[str]], Answers] | None = None) -> None:
        self.batches: list[list[str]] = []
        self.traces: list[str] = []
        self.gate = asyncio.Event()
        self._cook = cook or (lambda orders: [f"{order} done" for order in orders])

    async def run(self, orders: Sequence[str]) -> Answers:
        self.batches.append(list(orders))
        self.traces.append(telemetry.current_trace())
        await self.gate.wait()
        return self._cook(orders)


async def until(condition: Callable[[], bool]) -> None:
    """Give other tasks their turns."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 turns, not time
            await asyncio.sleep(0)


def submitted(batcher: Batcher[str, str], *orders: str) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batcher.submit(order)) for order in orders]


async def test_what_arrives_during_a_batch_runs_together_in_the_next_in_order() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run, batch_max=3)
    first = submitted(batcher, "a")
    await until(lambda: kitchen.batches == [["a"]])
    rest = submitted(batcher, "b", "c", "d", "e")
    await asyncio.sleep(0)
    kitchen.gate.set()
    answers = await asyncio.gather(*first, *rest)
    assert kitchen.batches == [["a"], ["b", "c", "d"], ["e"]]
    assert answers == ["a done", "b done", "c done", "d done", "e done"]


async def test_while_more_than_a_batch_waits_others_run_beside_it() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run, batch_max=2, at_once=3)
    orders = submitted(batcher, *"abcdefghi")
    await until(lambda: len(kitchen.batches) == 3)
    assert kitchen.batches == [["a", "b"], ["c", "d"], ["e", "f"]]
    closing = asyncio.create_task(batcher.close())
    kitchen.gate.set()
    await closing
    assert [order.result() for order in orders] == [f"{order} done" for order in "abcdefghi"]
    assert sorted(kitchen.batches[3:]) == [["g", "h"], ["i"]]


async def test_a_batch_beside_others_that_is_cancelled_takes_only_its_own_along() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run, batch_max=1, at_once=2)
    orders = submitted(batcher, *"abc")
    await until(lambda: len(kitchen.batches) == 2)
    next(iter(batcher._runners)).cancel()
    kitchen.gate.set()
    answers = await asyncio.gather(*orders, return_exceptions=True)
    assert sum(isinstance(answer, BrokenOff) for answer in answers) == 1
    assert answers[2] == "c done"


async def test_an_idle_batcher_starts_again() -> None:
    kitchen = Kitchen()
    kitchen.gate.set()
    batcher = Batcher("kitchen", kitchen.run)
    assert await batcher.submit("a") == "a done"
    assert await batcher.submit("b") == "b done"


async def test_an_exception_in_a_results_place_is_raised_to_its_submitter_alone() -> None:
    kitchen = Kitchen(lambda orders: [NotFound() if o == "b" else f"{o} done" for o in orders])
    kitchen.gate.set()
    batcher = Batcher("kitchen", kitchen.run)
    answers = await asyncio.gather(*submitted(batcher, "a", "b", "c"), return_exceptions=True)
    assert [answers[0], answers[2]] == ["a done", "c done"]
    assert isinstance(answers[1], NotFound)


async def test_a_batch_that_fails_is_tried_one_by_one_and_the_bad_one_fails_alone() -> None:
    def cook(orders: Sequence[str]) -> Answers:
        if "bad" in orders:
            raise ValueError("burnt")
        return [f"{order} done" for order in orders]

    kitchen = Kitchen(cook)
    kitchen.gate.set()
    batcher = Batcher("kitchen", kitchen.run)
    answers = await asyncio.gather(*submitted(batcher, "a", "bad", "c"), return_exceptions=True)
    assert kitchen.batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert [answers[0], answers[2]] == ["a done", "c done"]
    assert isinstance(answers[1], ValueError)


async def test_an_outage_is_told_to_all_at_once_and_not_tried_again() -> None:
    def cook(_: Sequence[str]) -> Answers:
        raise Unavailable

    kitchen = Kitchen(cook)
    kitchen.gate.set()
    batcher = Batcher("kitchen", kitchen.run)
    answers = await asyncio.gather(*submitted(batcher, "a", "b"), return_exceptions=True)
    assert len(kitchen.batches) == 1
    assert all(isinstance(answer, Unavailable) for answer in answers)


async def test_a_batch_that_forgot_an_answer_is_not_run_twice() -> None:
    kitchen = Kitchen(lambda orders: [f"{order} done" for order in orders[1:]])
    kitchen.gate.set()
    batcher = Batcher("kitchen", kitchen.run)
    answers = await asyncio.gather(*submitted(batcher, "a", "b"), return_exceptions=True)
    assert len(kitchen.batches) == 1
    assert all("must answer each command" in str(answer) for answer in answers)


async def test_who_comes_when_too_many_wait_is_told_to_try_again() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run, waiting_max=2)
    running = submitted(batcher, "a")
    await until(lambda: bool(kitchen.batches))
    waiting = submitted(batcher, "b", "c")
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await batcher.submit("d")
    assert caught.value.members == {"retry_after_seconds": 1}
    kitchen.gate.set()
    assert await asyncio.gather(*running, *waiting) == ["a done", "b done", "c done"]


async def test_nothing_is_run_for_a_client_that_left_while_waiting() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run)
    running = submitted(batcher, "a")
    await until(lambda: bool(kitchen.batches))
    (gone,) = submitted(batcher, "gone")
    await asyncio.sleep(0)
    gone.cancel()
    kitchen.gate.set()
    await asyncio.gather(*running, gone, return_exceptions=True)
    await batcher.close()
    assert kitchen.batches == [["a"]]


async def test_a_client_that_leaves_during_its_batch_does_not_disturb_the_others() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run)
    stays, leaves = submitted(batcher, "a", "b")
    await until(lambda: bool(kitchen.batches))
    leaves.cancel()
    await asyncio.sleep(0)
    kitchen.gate.set()
    assert await stays == "a done"


async def test_closing_finishes_what_waits_and_takes_nothing_new() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run, batch_max=1)
    tasks = submitted(batcher, "a", "b")
    await until(lambda: bool(kitchen.batches))
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.submit("c")
    kitchen.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == ["a done", "b done"]
    await batcher.close()


async def test_nobody_waits_for_ever_when_closing_is_broken_off() -> None:
    kitchen = Kitchen()
    batcher = Batcher("kitchen", kitchen.run, batch_max=1)
    tasks = submitted(batcher, "running", "waiting")
    await until(lambda: bool(kitchen.batches))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(batcher.close(), 0.01)
    async with asyncio.timeout(10):
        await asyncio.wait(tasks)
    assert all(isinstance(task.exception(), BrokenOff) for task in tasks)


async def test_what_a_batch_waited_for_is_cancelled_and_nobody_else() -> None:
    """A CancelledError out of a batch would end the loops that wait for it, in silence."""

    async def broken(_: Sequence[str]) -> Sequence[str]:
        elsewhere = asyncio.get_running_loop().create_future()
        elsewhere.cancel()
        return [await elsewhere]

    batcher = Batcher("kitchen", broken)
    with pytest.raises(BrokenOff):
        await batcher.submit("a")
    with pytest.raises(BrokenOff):
        await batcher.submit("b")


async def test_a_batch_belongs_to_no_single_requests_trace() -> None:
    kitchen = Kitchen()
    kitchen.gate.set()
    batcher = Batcher("kitchen", kitchen.run)
    with telemetry.Tracing(""):
        await batcher.submit("a")
    assert kitchen.traces == [""]
