"""Copies SQLite files while other processes write to them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cinesync.backup.manifest import BackupFailed


def copy(source: Path, target: Path) -> None:
    """Copy one consistent state by SQLite's online backup; the copy is a single file.

    Raises BackupFailed.
    """
    if not source.exists():
        raise BackupFailed(f"{source} is missing; a backup without it would not restore.")
    target.touch(mode=0o600)
    try:
        with closing(connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise BackupFailed(f"{source} cannot be copied: {error}.") from error


def connect(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open read-only. `immutable`: no process writes to it, and no file is created beside it."""
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None)


@contextmanager
def changed(path: Path) -> Iterator[sqlite3.Connection]:
    """Change a file in one transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def integrity(path: Path) -> str:
    """ "ok", or what SQLite finds wrong."""
    try:
        with closing(connect(path, immutable=True)) as connection:
            ((found,), *_) = connection.execute("PRAGMA integrity_check(1)").fetchall()
            return str(found)
    except sqlite3.Error as error:
        return str(error)
