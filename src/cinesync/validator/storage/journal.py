"""A validator's promises on disk, in SQLite: what it must still know after a crash.

Every write is one transaction with an fsync before anything that depends on it is sent. A journal
that is damaged is set aside and counts as lost; the replica then abstains for a while. A disk that
is full, or fails, is no damage: validators that took it for one would lose a sound ledger, all of
them at once.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

# Debian's SQLite overwrites what is deleted: megabytes at each checkpoint, of what peers have too.
SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = OFF;
CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, record BLOB NOT NULL);
"""
# What SQLite says when the disk refuses, and not the file's content.
DISK_REFUSES: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_PRIMARY_CODE: Final = 0xFF


class Journal:
    """Raises sqlite3.Error when the disk fails: neither send nor apply then, but stop."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(SCHEMA)

    def write(self, records: Iterable[bytes], *, replace: bool) -> None:
        """Durably; with `replace` instead of everything before, at once or not at all."""
        rows = [(record,) for record in records]
        if not rows and not replace:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if replace:
                self._connection.execute("DELETE FROM records")
            self._connection.executemany("INSERT INTO records (record) VALUES (?)", rows)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def records(self) -> list[bytes]:
        rows = self._connection.execute("SELECT record FROM records ORDER BY seq")
        return [bytes(row[0]) for row in rows]

    def close(self) -> None:
        self._connection.close()


def open_journal(path: Path) -> tuple[Journal, list[bytes]]:
    """A journal and what it remembers: nothing at all when it is damaged.

    Raises sqlite3.Error when the disk fails.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        sound = False
    if not sound:
        set_aside(path)
    journal = Journal(path)
    return journal, journal.records()


def is_damage(error: Exception) -> bool:
    """Whether a file is at fault, and not its disk: what the disk refuses now, it may do later."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & _PRIMARY_CODE not in DISK_REFUSES


def set_aside(path: Path) -> None:
    """Keep a damaged file for whoever investigates, under a name that nothing has yet."""
    files = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
    ending, number = ".damaged", 1
    while any(file.with_name(file.name + ending).exists() for file in files):
        number += 1
        ending = f".damaged-{number}"
    for file in files:
        if file.exists():
            file.rename(file.with_name(file.name + ending))
