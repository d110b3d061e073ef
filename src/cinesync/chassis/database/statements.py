"""Statements and their rows: hand-written SQL goes straight to asyncpg, Core through SQLAlchemy.

One text statement through SQLAlchemy's greenlets costs five times the CPU time of the same through
asyncpg (ADR 9).
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

import asyncpg
import sqlalchemy
from sqlalchemy import CursorResult, Executable, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

TEXTS_MAX = 2_000
# SQLAlchemy's own rule for what is a bind in a text(): not a `::cast`, not escaped.
BIND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
ANSWERS_ROWS = re.compile(r"\A\s*(SELECT|WITH|SHOW)\b|\bRETURNING\b", re.IGNORECASE)


@lru_cache(TEXTS_MAX)
def text(sql: str) -> TextClause:
    """SQL with `:name` binds. Statements are constants, so each is parsed once."""
    return sqlalchemy.text(sql)


class Row(asyncpg.Record):  # type: ignore[misc]  # asyncpg has no types
    """A row whose columns are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class NotOneRow(LookupError):
    """A statement answered another number of rows than its author promised."""


class Rows(list[Any]):
    """What a text statement answered; the part of SQLAlchemy's result that we use."""

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        super().__init__(rows)
        self.rowcount = rowcount

    def all(self) -> list[Any]:
        """Every row."""
        return self

    def mappings(self) -> "Rows":
        """Rows are mappings already."""
        return self

    def scalars(self) -> list[Any]:
        """The first column."""
        return [row[0] for row in self]

    def first(self) -> Any | None:
        """The first row, if any."""
        return self[0] if self else None

    def one_or_none(self) -> Any | None:
        """The only row, if any. Raises NotOneRow for more."""
        if len(self) > 1:
            raise NotOneRow(len(self))
        return self.first()

    def one(self) -> Any:
        """The only row. Raises NotOneRow."""
        if len(self) != 1:
            raise NotOneRow(len(self))
        return self[0]

    def scalar_one(self) -> Any:
        """The first column of the only row. Raises NotOneRow."""
        return self.one()[0]

    def scalar_one_or_none(self) -> Any | None:
        """The first column of the only row, if any. Raises NotOneRow for more."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar(self) -> Any | None:
        """The first column of the first row, if any."""
        return self[0][0] if self else None


class Transaction:
    """A connection in a transaction that `Database` began and will end.

    With `is_one_statement` none was begun: the first statement is one, and there is no second.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        driver: Any,
        isolation: str,
        *,
        key_is_new: bool = True,
        is_one_statement: bool = False,
        seconds_max: float | None = None,
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._seconds_max = seconds_max  # of each statement; None: somebody watches over all
        self._is_one_statement = is_one_statement
        self._is_over = False
        self.isolation = isolation
        self.key_is_new = key_is_new
        self.has_events = False
        # Called once, when the changes of this transaction are there to stay.
        self.after_commit: list[Callable[[], None]] = []

    @overload
    async def execute(  # type: ignore[overload-overlap]  # the narrower type comes first
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Rows: ...

    @overload
    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]: ...

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Rows | CursorResult[Any]:
        """Run one statement. Raises asyncpg's errors for text, SQLAlchemy's for Core."""
        if self._is_over:
            raise RuntimeError("the one statement of this transaction has run")
        self._is_over = self._is_one_statement
        if not isinstance(statement, TextClause):
            async with asyncio.timeout(self._seconds_max):
                return await self._connection.execute(statement, parameters)
        compiled = _compiled(statement.text)
        values = [parameters[name] for name in compiled.names] if parameters else []
        if compiled.answers_rows:
            rows = await self._driver.fetch(
                compiled.sql, *values, record_class=Row, timeout=self._seconds_max
            )
            return Rows(rows, len(rows))
        status = await self._driver.execute(compiled.sql, *values, timeout=self._seconds_max)
        return Rows((), _count(status))

    async def commit(self) -> None:
        """For `Database` alone, which began it."""
        await self._driver.execute("COMMIT", timeout=self._seconds_max)


def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """`:name` binds as `$1`, `$2`, … which PostgreSQL knows; and their names, in that order."""
    numbers: dict[str, int] = {}
    found = BIND.sub(lambda bind: f"${numbers.setdefault(bind[1], len(numbers) + 1)}", sql)
    return found, tuple(numbers)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A text as asyncpg takes it."""

    sql: str
    names: Sequence[str]
    answers_rows: bool


@lru_cache(TEXTS_MAX)
def _compiled(sql: str) -> _Compiled:
    return _Compiled(*numbered(sql), answers_rows=ANSWERS_ROWS.search(sql) is not None)


def _count(status: str) -> int:
    """Of a command tag: 3 for `UPDATE 3`, `INSERT 0 3` or `DELETE 3`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0
