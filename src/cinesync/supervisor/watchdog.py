"""Kills processes that hang; the supervisor restarts them, as any process that ended."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import httpx

CHECK_SECONDS = 5.0
ANSWER_SECONDS_MAX = 10.0
UNANSWERED_MAX = 4  # in a row: a minute, longer than any overload keeps a loop busy


class Watchable(Protocol):
    """A process that answers at `live_url`; without a URL it is not checked."""

    name: str
    live_url: str

    @property
    def pid(self) -> int: ...

    def is_serving(self) -> bool:
        """Whether it has been ready, and has not ended."""

    def kill(self) -> None:
        """SIGKILL."""


@contextmanager
def watched(
    processes: Callable[[], Iterable[Watchable]], say: Callable[[str], None]
) -> Iterator[None]:
    """Meanwhile, kill processes that do not answer repeatedly."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(processes, say, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _watch(
    processes: Callable[[], Iterable[Watchable]], say: Callable[[str], None], over: threading.Event
) -> None:
    unanswered: Counter[int] = Counter()
    while not over.wait(CHECK_SECONDS):
        for process in processes():
            try:
                if _hangs(process, unanswered) and not over.is_set():
                    say(f"the {process.name} does not answer; it is killed")
                    process.kill()
            except Exception as error:  # noqa: BLE001 the watchdog must not end unnoticed
                say(f"the {process.name} could not be checked: {error!r}")


def _hangs(process: Watchable, unanswered: Counter[int]) -> bool:
    """Whether it has not answered too often."""
    if not process.live_url or not process.is_serving():
        return False
    pid = process.pid
    unanswered[pid] = 0 if _answers(process.live_url) else unanswered[pid] + 1
    return unanswered[pid] >= UNANSWERED_MAX and process.pid == pid


def _answers(url: str) -> bool:
    """Whether it answers at all, even with an error."""
    try:
        httpx.get(url, timeout=ANSWER_SECONDS_MAX, trust_env=False)
    except httpx.TransportError:
        return False
    return True
