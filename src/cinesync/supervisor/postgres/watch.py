"""Keeps PostgreSQL running: starts it again whenever it ends."""

import time
from collections.abc import Callable

from cinesync.chassis.backoff import Backoff
from cinesync.supervisor.postgres.server import Postgres, PostgresFailed

BACKOFF = Backoff(first_seconds=0.5, seconds_max=10.0, jitter=0.0)
REASON_CHARACTERS_MAX = 500


class PostgresWatch:
    """`tick` is called repeatedly; it never raises, and never waits for a start.

    What prevents a start (a full disk, a server that is still ending) may be over at the next try.
    A recovery may take any time: a running server is not stopped.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._failures = 0
        self._due_at: float | None = 0.0
        self.restarts = 0

    def tick(self, say: Callable[[str], None]) -> None:
        """Start it when it is not running and the pause is over."""
        if self._postgres.is_running():
            self._note_running(say)
            return
        now = time.monotonic()
        if self._due_at is None:
            self._due_at = now + self._pause_seconds()
            self.restarts += 1
            say(f"PostgreSQL ended ({self._reason()}); starting it again")
        if now >= self._due_at:
            self._start(say)

    def _start(self, say: Callable[[str], None]) -> None:
        self._failures += 1
        try:
            self._postgres.launch()
        except (PostgresFailed, OSError) as error:
            pause_seconds = self._pause_seconds()
            self._due_at = time.monotonic() + pause_seconds
            say(f"PostgreSQL did not start: {error}; trying again in {pause_seconds:.1f} s")
        else:
            self._due_at = None

    def _note_running(self, say: Callable[[str], None]) -> None:
        self._due_at = None
        if self._failures and self._postgres.is_ready():
            if self._failures > 1 or self.restarts:
                say("PostgreSQL is running again")
            self._failures = 0

    def _pause_seconds(self) -> float:
        return BACKOFF.pause_seconds(self._failures)

    def _reason(self) -> str:
        return self._postgres.last_output()[-REASON_CHARACTERS_MAX:]
