"""The lines that a provider's statement has, in a temporary file: a statement may be long."""

import sqlite3
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE lines (
    kind TEXT NOT NULL, entry_id TEXT NOT NULL, PRIMARY KEY (kind, entry_id)
) WITHOUT ROWID;
CREATE TABLE unrecorded (
    entry_id TEXT PRIMARY KEY, net INTEGER NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID;
"""


class StatementIndex:
    """A temporary database of SQLite, deleted when it is closed."""

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

    def add(self, kind: str, entry_id: str) -> None:
        """A line of something that we recorded."""
        self._connection.execute("INSERT OR IGNORE INTO lines VALUES (?, ?)", (kind, entry_id))

    def with_line(self, kind: str, entry_ids: Sequence[str]) -> set[str]:
        """Those that have a line of that kind."""
        marks = ", ".join("?" * len(entry_ids))
        rows = self._connection.execute(
            f"SELECT entry_id FROM lines WHERE kind = ? AND entry_id IN ({marks})",  # noqa: S608 question marks
            (kind, *entry_ids),
        )
        return {entry_id for (entry_id,) in rows}

    def add_unrecorded(self, entry_id: str, net: int, text: str) -> None:
        """A line of something that we did not record: +1, or -1 for its reversal."""
        self._connection.execute(
            "INSERT INTO unrecorded VALUES (?, ?, ?)"
            " ON CONFLICT (entry_id) DO UPDATE SET net = net + excluded.net,"
            " text = CASE WHEN excluded.net > 0 THEN excluded.text ELSE text END",
            (entry_id, net, text),
        )

    def unrecorded(self) -> Iterator[str]:
        """The texts of those that were not reversed."""
        for (text,) in self._connection.execute("SELECT text FROM unrecorded WHERE net > 0"):
            yield text
