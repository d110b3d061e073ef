"""A transaction that runs statements, and the rows that they return."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import func, select

from cinesync.chassis.database.statements import Statement, compiled

NOW = compiled(select(func.now()))


class Row(asyncpg.Record):  # type: ignore[misc]  # asyncpg has no types
    """A row whose columns are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class NotOneRow(LookupError):
    """A statement returned another number of rows than its author promised."""


class Rows(list[Any]):
    """What a statement returned, and the number of rows that it changed or returned."""

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        super().__init__(rows)
        self.rowcount = rowcount

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
        connection: Any,
        isolation: str,
        *,
        marker_is_new: bool = True,
        is_one_statement: bool = False,
        seconds_max: float | None = None,
    ) -> None:
        self._connection = connection
        self._seconds_max = seconds_max  # of each statement; None: a deadline limits all of them
        self._is_one_statement = is_one_statement
        self._is_over = False
        self.isolation = isolation
        self.marker_is_new = marker_is_new
        self.has_events = False
        # Called once, after the commit.
        self.after_commit: list[Callable[[], None]] = []

    async def execute(
        self, statement: Statement, parameters: Mapping[str, Any] | None = None
    ) -> Rows:
        """Run one statement. Raises asyncpg's errors."""
        if self._is_over:
            raise RuntimeError("the one statement of this transaction has run")
        self._is_over = self._is_one_statement
        arguments = statement.arguments(parameters)
        if statement.returns_rows:
            rows = await self._connection.fetch(
                statement.sql, *arguments, timeout=self._seconds_max
            )
            return Rows(rows, len(rows))
        status = await self._connection.execute(
            statement.sql, *arguments, timeout=self._seconds_max
        )
        return Rows((), _count(status))

    async def commit(self) -> None:
        """For `Database` alone, which began it."""
        await self._connection.execute("COMMIT", timeout=self._seconds_max)


async def database_now(tx: Transaction) -> datetime:
    """The transaction's time, by the database's clock, which decides what is over."""
    now: datetime = (await tx.execute(NOW)).scalar_one()
    return now


def _count(status: str) -> int:
    """Of a command tag: 3 for `UPDATE 3`, `INSERT 0 3` or `DELETE 3`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0
