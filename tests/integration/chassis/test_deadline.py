"""A request is answered by its deadline, whatever hangs; what is done for it knows how long."""

import asyncio
import contextlib
import math
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import get
from litestar.response import Stream

from cinesync.chassis import clock, deadline
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import (
    Database,
    DatabaseAway,
    Transaction,
    open_database,
    retry,
    text,
)
from cinesync.chassis.database import database as db_module
from cinesync.chassis.database.migrations import COMMIT_MARKERS_DDL
from cinesync.chassis.deadline import Deadlines, TookTooLong
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.chassis.http.observation import ObservedApp
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.supervisor.postgres import Postgres
from cinesync.supervisor.postgres.leftovers import processes_in

HANGS = asyncio.Event  # awaited, and never set


async def no_keys() -> dict[str, Any]:
    return {"keys": []}


# The block


async def test_what_takes_too_long_is_ended_with_a_sentence() -> None:
    with pytest.raises(TookTooLong) as late, Deadlines().within(0.05):
        await HANGS().wait()
    assert late.value.members == {"retry_after_seconds": 2}
    assert deadline.current_at() is None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_block_in_time_leaves_nothing_behind() -> None:
    deadlines = Deadlines()
    with deadlines.within(60.0):
        assert 59 < deadline.remaining(math.inf) <= 60
        assert deadline.remaining(5.0) == 5.0
        assert deadline.remaining(60.0, margin_seconds=70.0) == deadline.LEAST_SECONDS
    assert deadline.remaining(5.0) == 5.0
    assert not deadlines._running


async def test_an_answer_that_has_begun_may_take_its_time() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.05) as mine:
        deadlines.lift(mine)
        await asyncio.sleep(3 * deadline.TICK_SECONDS)
        assert deadline.current_at() is None


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    async def wait() -> None:
        with Deadlines().within(60.0):
            await HANGS().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 15),
        ("5.5", 5.5),
        ("99", 15),
        ("-1", 4),
        ("0.01", 4),
        ("nan", 15),
        ("inf", 15),
        ("soon", 15),
    ],
)
def test_a_sender_may_want_less_time_and_never_more(header: str | None, seconds: float) -> None:
    assert deadline.requested_seconds(header, 15) == seconds


# HTTP


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    @get("/api/toy/hangs")
    async def hangs() -> None:
        await HANGS().wait()

    @get("/api/toy/stream")
    async def stream() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"begun;"
            await asyncio.sleep(3 * deadline.TICK_SECONDS)
            yield b"ended"

        return Stream(chunks())

    app = ObservedApp(service_app("toy", [hangs, stream], Verifier(no_keys)), "toy", 0.1)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_request_that_hangs_is_answered_503(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/toy/hangs")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["type"] == "/problems/took-too-long"
    assert len(answer.headers["x-trace-id"]) == 32


async def test_a_stream_has_no_deadline_once_it_has_begun(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/toy/stream")).text == "begun;ended"


# Batches


async def test_a_batch_has_the_time_of_its_most_patient_command() -> None:
    seen: list[float | None] = []

    async def run(commands: Sequence[float]) -> Sequence[float]:
        seen.append(deadline.current_at())
        await asyncio.sleep(0.02)
        return commands

    async def ask(seconds: float | None) -> float:
        if seconds is None:
            return await batcher.submit(0)
        with Deadlines().within(seconds):
            return await batcher.submit(seconds)

    batcher = Batcher("patient", run)
    now = clock.monotonic_seconds()
    await asyncio.gather(ask(10), ask(20), ask(30))
    await asyncio.gather(ask(10), ask(None), ask(None))
    ends = [round(at - now) if at is not None else None for at in seen]
    assert ends == [30, None]


# Calls


class Deaf:
    """Takes a request, keeps its head, and never answers."""

    def __init__(self) -> None:
        self.head = b""
        self.over = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        writer.transport.abort()
        self.over.set()


async def test_a_call_waits_no_longer_than_its_request_has_and_says_so() -> None:
    deaf = Deaf()
    server = await asyncio.start_server(deaf.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peer = HttpClient(f"http://127.0.0.1:{port}", 60.0)
    deadline.carry(clock.monotonic_seconds() + 0.3)
    with pytest.raises(NoResponse):
        await peer.call("GET", "/")
    assert b"x-deadline-seconds: 0." in deaf.head.lower()
    await peer.close()
    await deaf.over.wait()
    server.close()
    await server.wait_closed()


def test_a_thread_has_a_deadline_of_its_own() -> None:
    seen: list[float] = []

    def work() -> None:
        with deadline.carried(5.0):
            seen.append(deadline.remaining(60.0))
        seen.append(deadline.remaining(60.0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert 4 < seen[0] <= 5
    assert seen[1] == 60.0


# A database that is frozen


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("frozen"), durable=False)
    server.start()
    yield server
    server.stop()


class Freezer:
    """SIGSTOP to every process of a server."""

    def __init__(self, server: Postgres) -> None:
        self._folder: Path = server._data
        self._stopped: set[int] = set()

    def freeze(self) -> None:
        self._stopped = processes_in(self._folder)
        for process in self._stopped:
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._stopped & processes_in(self._folder):
            os.kill(process, signal.SIGCONT)


@pytest.fixture
async def frozen(server: Postgres) -> AsyncIterator[tuple[Database, Freezer]]:
    """A database with warm connections, and what freezes it."""
    database, freezer = open_database(server.url(), pool_size=2), Freezer(server)

    async def make(tx: Transaction) -> None:
        await tx.execute(text(COMMIT_MARKERS_DDL))

    await database.run_one(make)
    await asyncio.gather(*(database.run(one) for _ in range(4)))
    yield database, freezer
    freezer.thaw()
    await database.close()


async def one(tx: Transaction) -> int:
    return int((await tx.execute(text("SELECT 1"))).scalar_one())


@pytest.mark.slow
async def test_a_frozen_database_is_left_before_the_deadline_and_used_again_after(
    frozen: tuple[Database, Freezer],
) -> None:
    database, freezer = frozen
    freezer.freeze()
    began = clock.monotonic_seconds()
    for work in (database.run, database.read, database.run_one):
        with Deadlines().within(4.0) as mine, pytest.raises(DatabaseAway):
            await work(one)
        assert clock.monotonic_seconds() < mine.at + 1
    assert clock.monotonic_seconds() - began < 30
    freezer.thaw()
    assert await database.run(one) == 1
    assert await database.read(one) == 1


@pytest.mark.slow
async def test_a_loop_in_the_background_leaves_a_frozen_database_too(
    frozen: tuple[Database, Freezer], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, freezer = frozen
    monkeypatch.setattr(db_module, "STATEMENT_SECONDS_MAX", 0.5)
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 1.0)
    freezer.freeze()
    async with asyncio.timeout(60):
        with pytest.raises(DatabaseAway):
            await database.run_repeatable(one)
    freezer.thaw()
    assert await database.run_repeatable(one) == 1


@pytest.mark.slow
async def test_without_a_deadline_a_frozen_database_is_waited_for(
    frozen: tuple[Database, Freezer], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, freezer = frozen
    monkeypatch.setattr(db_module, "_statement_seconds", lambda: None)
    monkeypatch.setattr(database, "_until_deadline", contextlib.nullcontext)
    freezer.freeze()
    with pytest.raises(TookTooLong), Deadlines().within(1.0):
        await database.run(one)  # only the request's own timer ends it
