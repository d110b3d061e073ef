"""A process that hangs is ended; one that answers, whatever it answers, is not."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cinesync.supervisor import watchdog
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.ports import free_port
from tests.support.eventually import wait_for

pytestmark = pytest.mark.slow

ROUNDS = 10


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS_MAX", 0.2)


Open = Callable[[], ManagedProcess]


@pytest.fixture
def open_child(tmp_path: Path) -> Iterator[Open]:
    """Servers that know no /health/live, and answer 404."""
    children: list[ManagedProcess] = []
    home = DataFolder(tmp_path)
    home.logs.mkdir()

    def begin() -> ManagedProcess:
        port = free_port()
        child = ManagedProcess(
            f"server-{len(children)}",
            [str(port), "--bind", "127.0.0.1"],
            {"PYTHONUNBUFFERED": "1"},
            home,
            module="http.server",
            live_url=f"http://127.0.0.1:{port}/health/live",
        )
        child.start()
        children.append(child)
        wait_for(lambda: watchdog._answers(child.live_url), "listening")
        child.ready.set()
        return child

    yield begin
    for child in children:
        child.kill()
        child.stop()


@pytest.mark.usefixtures("hasty")
def test_one_that_hangs_is_ended_and_one_that_answers_is_not(open_child: Open) -> None:
    well, hung = open_child(), open_child()
    os.kill(hung.pid, signal.SIGSTOP)
    said: list[str] = []
    with watchdog.watched(lambda: [well, hung], said.append):
        wait_for(hung.has_ended, "ended")
        assert not well.has_ended()
    assert said == ["the server-1 does not answer; it is killed"]


@pytest.mark.usefixtures("hasty")
def test_only_silence_after_silence_ends_it(
    open_child: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, asked = open_child(), threading.Semaphore(0)

    def every_fourth(_url: str) -> bool:
        asked.release()
        return asked._value % watchdog.UNANSWERED_MAX == 0

    monkeypatch.setattr(watchdog, "_answers", every_fourth)
    with watchdog.watched(lambda: [child], lambda _: None):
        wait_for(lambda: asked._value > ROUNDS * watchdog.UNANSWERED_MAX, "asked")
        assert not child.has_ended()


@pytest.mark.usefixtures("hasty")
def test_one_that_is_not_ready_yet_may_be_silent(open_child: Open) -> None:
    starting, hung = open_child(), open_child()
    starting.ready.clear()
    for child in (starting, hung):
        os.kill(child.pid, signal.SIGSTOP)
    with watchdog.watched(lambda: [starting, hung], lambda _: None):
        wait_for(hung.has_ended, "ended")
        assert not starting.has_ended()
