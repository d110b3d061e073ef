"""Background loops are restarted after any end, and reported when they do not succeed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from cinesync.chassis import background
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.backoff import Backoff

WAIT_SECONDS_MAX = 30


@pytest.fixture
async def loops(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loops]:
    monkeypatch.setattr(background, "RESTARTING", Backoff(0.0, 5.0))
    loops = Loops(silent_seconds_max=1.0)
    yield loops
    await loops.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 other tasks
            await asyncio.sleep(0.01)


async def returns() -> None:
    """As a loop should not."""


async def crashes() -> None:
    raise RuntimeError("stumbled")


async def waits_for_what_is_cancelled() -> None:
    """As for a future of a batcher that was closed: nobody has cancelled the loop itself."""
    elsewhere = asyncio.get_running_loop().create_future()
    elsewhere.cancel()
    await elsewhere


@pytest.mark.parametrize("end", [returns, crashes, waits_for_what_is_cancelled])
async def test_a_loop_is_begun_again_whatever_ends_it(
    loops: Loops, end: Callable[[], Awaitable[None]]
) -> None:
    loop = Loop("test.ends", end)
    loops.start(loop)
    await until(lambda: loop.restarts >= 3)
    assert REGISTRY.get_sample_value("cinesync_loop_restarts_total", {"loop": "test.ends"})


async def test_a_loop_is_begun_again_when_even_telling_of_its_end_fails(
    loops: Loops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk did when the log was written to it from an `except` clause."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(background.log, "exception", full)
    loop = Loop("test.untold", crashes)
    loops.start(loop)
    await until(lambda: loop.restarts >= 3)


async def test_without_the_guard_a_task_that_awaits_something_cancelled_ends_in_silence() -> None:
    async def keep_running() -> None:
        while True:
            try:
                await waits_for_what_is_cancelled()
            except Exception:  # noqa: BLE001 as it was
                continue

    task = asyncio.create_task(keep_running())
    await asyncio.wait({task})
    assert task.cancelled()


async def test_closing_ends_a_loop_for_good(loops: Loops) -> None:
    loop = Loop("test.closed", asyncio.Event().wait)  # type: ignore[arg-type]
    loops.start(loop)
    await asyncio.sleep(0)
    await loops.close()
    assert [task.cancelled() for task in loops.tasks()] == [True]
    assert loop.restarts == 0


async def test_a_loop_that_ends_by_itself_is_given_the_time(loops: Loops) -> None:
    stopping, finished = asyncio.Event(), asyncio.Event()

    async def finish() -> None:
        await stopping.wait()
        finished.set()

    loops.start(Loop("test.finishes", finish, ends_by_itself=True))
    await asyncio.sleep(0)
    stopping.set()
    await loops.close(seconds=WAIT_SECONDS_MAX)
    assert finished.is_set()


async def test_a_loop_that_runs_without_success_is_told_with_the_reason(loops: Loops) -> None:
    async def tries() -> None:
        background.failed(ConnectionError("nobody there"))
        await asyncio.Event().wait()

    loop = Loop("test.silent", tries)
    loops.start(loop)
    assert loops.troubles() == {}
    loop.succeeded_at -= 2.0
    await until(lambda: bool(loop.last_error))
    assert loops.troubles()["test.silent"].endswith("s: ConnectionError('nobody there')")
    assert REGISTRY.get_sample_value("cinesync_loop_alive", {"loop": "test.silent"}) == 0
    loop.note_success()
    assert loops.troubles() == {}
    assert REGISTRY.get_sample_value("cinesync_loop_alive", {"loop": "test.silent"}) == 1


async def test_success_is_the_running_loops_own_also_from_its_tasks(loops: Loops) -> None:
    async def child() -> None:
        background.succeeded()

    async def works() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child())
        await asyncio.Event().wait()

    loop, other = Loop("test.works", works), Loop("test.other", asyncio.Event().wait)  # type: ignore[arg-type]
    loops.start(loop, other)
    loop.succeeded_at = other.succeeded_at = 0.0
    await until(lambda: loop.succeeded_at > 0)
    assert other.succeeded_at == 0.0
    background.succeeded()  # outside of any: nothing
    background.failed(ValueError())


async def test_a_slow_loop_has_the_time_of_its_round_and_one_that_tells_nothing_all_time(
    loops: Loops,
) -> None:
    slow = Loop("test.slow", asyncio.Event().wait, 100.0)  # type: ignore[arg-type]
    mute = Loop("test.mute", asyncio.Event().wait, None)  # type: ignore[arg-type]
    loops.start(slow, mute)
    slow.succeeded_at -= 100.5
    mute.succeeded_at -= 1_000_000
    assert loops.troubles() == {}
    slow.succeeded_at -= 1.0
    assert list(loops.troubles()) == ["test.slow"]
