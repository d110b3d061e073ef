"""PostgreSQL is started again after every end, however often a start fails."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from cinesync.chassis.backoff import Backoff
from cinesync.supervisor.postgres import Postgres, PostgresFailed
from cinesync.supervisor.postgres import watch as watch_module
from cinesync.supervisor.postgres.watch import PostgresWatch
from tests.support.eventually import wait_for


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    monkeypatch.setattr(watch_module, "BACKOFF", Backoff(0.05, 0.05))
    return Postgres(tmp_path, durable=False)


def until_ready(watch: PostgresWatch, server: Postgres, said: list[str]) -> None:
    def is_ready() -> bool:
        watch.tick(said.append)
        return server.is_ready()

    wait_for(is_ready, f"the server is ready; {said}")
    watch.tick(said.append)


@pytest.mark.slow
def test_a_killed_server_is_restarted_each_time_and_reported(server: Postgres) -> None:
    watch, said = PostgresWatch(server), list[str]()
    try:
        until_ready(watch, server, said)
        assert said == []
        for count in (1, 2):
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            wait_for(lambda: not server.is_running(), "the server ends")
            until_ready(watch, server, said)
            assert watch.restarts == count
            assert said[-1] == "PostgreSQL is running again"
            assert said[-2] == "PostgreSQL ended (SIGKILL ended it); starting it again"
    finally:
        server.stop()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), PostgresFailed("it will not")]
)
@pytest.mark.slow
def test_a_start_that_fails_is_tried_again_with_growing_pauses(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    watch, said, tries = PostgresWatch(server), list[str](), list[float]()
    launch = server.launch

    def fail_four_times() -> None:
        tries.append(time.monotonic())
        if len(tries) < 5:
            raise error
        launch()

    monkeypatch.setattr(server, "launch", fail_four_times)
    try:
        until_ready(watch, server, said)
    finally:
        server.stop()
    assert len(tries) == 5
    assert all(text.startswith(f"PostgreSQL did not start: {error};") for text in said[:4])
    assert said[4:] == ["PostgreSQL is running again"]


def test_a_tick_never_waits(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BACKOFF", Backoff(1000.0, 1000.0))
    tries: list[str] = []

    def fail() -> None:
        tries.append("tried")
        raise PostgresFailed("it will not")

    monkeypatch.setattr(server, "launch", fail)
    watch = PostgresWatch(server)
    for _ in range(5):
        watch.tick(lambda _: None)
    assert tries == ["tried"]
