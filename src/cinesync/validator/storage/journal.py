"""A validator's journal in SQLite: the consensus records that must survive a crash.

Theory of operation. A replica may send a message only when the records that it depends on are
durable, so every write is one transaction with an fsync (synchronous = FULL), and the driver writes
before it sends. At a stable checkpoint the replica replaces the whole journal in one transaction.
The rows form a hash chain (`pbft.log`), which finds a damaged or a torn row.

A damaged journal is set aside and counts as lost; the replica then abstains from voting for a
while. A full or failing disk is not damage: if validators treated it as such, all of them would set
an intact ledger aside at once when their disks fill up. They stop instead.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

# Debian's SQLite overwrites deleted rows: megabytes at each checkpoint, and no secret among them.
SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = OFF;
CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, record BLOB NOT NULL);
"""
# Error codes that mean that the disk refuses, not that the file is damaged.
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
        """Write durably; with `replace`, replace the whole journal atomically."""
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
    """A journal and its records: none when it is damaged.

    Raises sqlite3.Error when the disk fails.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            is_intact = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        is_intact = False
    if not is_intact:
        set_aside(path)
    journal = Journal(path)
    return journal, journal.records()


def is_damage(error: Exception) -> bool:
    """Whether the file is damaged, and not just refused by the disk, which may recover."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & _PRIMARY_CODE not in DISK_REFUSES


def set_aside(path: Path) -> None:
    """Rename a damaged file to an unused name, for investigation."""
    files = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
    ending, number = ".damaged", 1
    while any(file.with_name(file.name + ending).exists() for file in files):
        number += 1
        ending = f".damaged-{number}"
    for file in files:
        if file.exists():
            file.rename(file.with_name(file.name + ending))
