"""Keeps PostgreSQL running: starts it again after every end, for as long as we run."""

import time
from collections.abc import Callable

from cinesync.chassis.backoff import Backoff
from cinesync.supervisor.postgres import Postgres, PostgresFailed

BACKOFF = Backoff(first_seconds=0.5, seconds_max=10.0, jitter=0.0)
REASON_CHARACTERS_MAX = 500


class PostgresWatch:
    """`tick` is called again and again; it never raises, and never waits for a start.

    Whatever stands in the way of a start - a full disk, a server that is still ending - may be
    gone at the next one. A recovery takes as long as it takes: a server that lives is not stopped.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._failures = 0
        self._due_at: float | None = 0.0
        self.restarts = 0

    def tick(self, say: Callable[[str], None]) -> None:
        """Start it if it does not run and it is time."""
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
                say("PostgreSQL is there again")
            self._failures = 0

    def _pause_seconds(self) -> float:
        return BACKOFF.pause_seconds(self._failures)

    def _reason(self) -> str:
        return self._postgres.last_words()[-REASON_CHARACTERS_MAX:]
