"""The CockroachDB profile: what every run of the tests must not do to its databases.

Loaded as a pytest plugin. Each statement that our source sends is linted and its transaction
watched; a test that makes it break a rule fails, with the statement. What the tests
themselves ask of a database is their own affair.
"""

import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

import pytest
from greenlet import getcurrent  # type: ignore[import-untyped]
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from cinesync.chassis.database import Statement, Transaction
from tests.support.places import SOURCE
from tests.support.portability.ddl_rules import schema_of
from tests.support.portability.lint import check, ddl, statements_in
from tests.support.portability.rules import Schema

DDL = re.compile(r"\s*(CREATE|ALTER|DROP|TRUNCATE)\b", re.IGNORECASE)
# Alembic's bookkeeping, SQLAlchemy's look at the catalogue, and questions about the session.
FOREIGN = re.compile(
    r"alembic_version|pg_catalog|pg_class|information_schema|\s*show\b", re.IGNORECASE
)
# What may stand between a statement's author and the cursor.
LAYERS = ("/sqlalchemy/", "/alembic/", "<string>")

EXEMPT = {
    "ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey,"
    " ADD CONSTRAINT booking_seats_pkey PRIMARY KEY USING INDEX booking_seats_taken": (
        "on PostgreSQL only; repeatable, because the index is made anew before it"
    ),
}


class Profile:
    """Watches the transactions and migrations of this process."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.watches_tests = False
        self._seen: set[str] = set()
        self._schema: Schema | None = None
        # Whether each statement of the running transaction is DDL. Not in `connection.info`: a
        # look at that of a broken connection raises.
        self._running: WeakKeyDictionary[object, list[bool]] = WeakKeyDictionary()
        self._patch = mock.patch.object(Transaction, "execute", self._watched(Transaction.execute))

    def install(self) -> None:
        """Watch from now on."""
        self._patch.start()
        event.listen(Engine, "before_cursor_execute", self.on_execute)

    def remove(self) -> None:
        """Look away."""
        self._patch.stop()
        event.remove(Engine, "before_cursor_execute", self.on_execute)

    def on_execute(self, _connection: Connection, cursor: Any, sql: str, *_: object) -> None:
        """One statement of a migration, just before it goes out."""
        if FOREIGN.search(sql) or sql in EXEMPT or not (self.watches_tests or _is_ours(_caller())):
            return
        self._lint(sql)
        isolation = cursor._adapt_connection.isolation_level
        if isolation != "autocommit":
            self.broken.append(f"a migration in a transaction ({isolation}): {sql}")

    def _watched(self, execute: Any) -> Any:
        """Around `execute`."""

        async def watched(tx: Transaction, statement: Statement, *args: Any) -> Any:
            if self.watches_tests or _is_ours(_caller()):
                if tx.isolation != "serializable":
                    self.broken.append(
                        f"isolation {tx.isolation}, not serializable: {statement.sql}"
                    )
                if not FOREIGN.search(statement.sql):
                    self._lint(statement.sql)
                    self._watch_ddl(tx, statement.sql)
            return await execute(tx, statement, *args)

        return watched

    def _lint(self, sql: str) -> None:
        if sql in self._seen:
            return
        self._seen.add(sql)
        if self._schema is None:
            self._schema = schema_of(ddl(statements_in(SOURCE)))
        self.broken += [str(finding) for finding in check(sql, self._schema)]

    def _watch_ddl(self, transaction: object, sql: str) -> None:
        kinds = self._running.setdefault(transaction, [])
        kinds.append(DDL.match(sql) is not None)
        if any(kinds) and len(kinds) > 1:
            self.broken.append(f"DDL shares its transaction with other statements: {sql}")


def _caller() -> str:
    """The file that asked for the statement that is running."""
    greenlet = getcurrent()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not (name == __file__ or any(layer in name for layer in LAYERS)):
            return name
        frame = frame.f_back
        # SQLAlchemy's asyncio runs its core in a greenlet of its own.
        while frame is None and greenlet.parent is not None:
            greenlet = greenlet.parent
            frame = greenlet.gr_frame
    return ""


def _is_ours(file_name: str) -> bool:
    return file_name.startswith(str(SOURCE))


_profile = Profile()


def pytest_configure() -> None:
    """Every database of the run is watched."""
    _profile.install()


def pytest_unconfigure() -> None:
    """Leave no trace."""
    _profile.remove()


@pytest.fixture(autouse=True)
def cockroachdb_profile(request: pytest.FixtureRequest) -> Iterator[Profile]:
    """Fails a test whose statements CockroachDB would not run, or not run alike."""
    yield _profile
    broken, _profile.broken = _profile.broken, []
    # A test that turns guards off says so in its name, or in its file's.
    is_off_guard = (
        request.node.name.startswith("test_without_") or request.path.name == "test_guards.py"
    )
    assert is_off_guard or not broken, "\n".join(broken)
