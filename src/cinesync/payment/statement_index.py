"""Which lines a provider's statement had, kept in a file while it is compared: it may be long."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE seen (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE strangers (
    name TEXT PRIMARY KEY, net INTEGER NOT NULL, said TEXT NOT NULL
) WITHOUT ROWID;
"""


class StatementIndex:
    """A temporary file of SQLite's own, gone when it is closed."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.executescript(SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def add(self, lines: Iterable[tuple[str, str]]) -> None:
        """Kinds and names of lines that are in our books."""
        self._connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", lines)

    def seen(self, kind: str, names: Sequence[str]) -> set[str]:
        """Which of these names had a line of that kind."""
        holes = ", ".join("?" * len(names))
        rows = self._connection.execute(
            f"SELECT name FROM seen WHERE kind = ? AND name IN ({holes})",  # noqa: S608 question marks
            (kind, *names),
        )
        return {name for (name,) in rows}

    def add_foreign(self, name: str, net: int, said: str) -> None:
        """Money that is not in our books: +1 for its going, -1 for its coming again."""
        self._connection.execute(
            "INSERT INTO strangers VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET net = net + excluded.net,"
            " said = CASE WHEN excluded.net > 0 THEN excluded.said ELSE said END",
            (name, net, said),
        )

    def foreign(self) -> Iterator[str]:
        """What is said of those that did not come again."""
        for (said,) in self._connection.execute("SELECT said FROM strangers WHERE net > 0"):
            yield said
