"""The SQLite schema of a validator's chain: tables, creation and the check of its version."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from cinesync.chassis import durable
from cinesync.validator.storage import subject_map

SETTINGS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 8000;
PRAGMA cache_size = -32768;
"""
TABLES: Final = f"""
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY, header BLOB NOT NULL, first INTEGER NOT NULL,
    stream_end INTEGER NOT NULL
);
CREATE TABLE entries (
    idx INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, booking_id TEXT NOT NULL,
    height INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX entries_booking ON entries (booking_id, idx);
CREATE TABLE nodes (
    level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, idx)
) WITHOUT ROWID;
CREATE TABLE chunks (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE staged (idx INTEGER PRIMARY KEY, manifest BLOB NOT NULL,
    data BLOB NOT NULL);
CREATE TABLE settled (one INTEGER PRIMARY KEY, height INTEGER NOT NULL);
{subject_map.TABLES}"""
SCHEMA_VERSION: Final = 2  # 1: headers without map_root


class OldFormat(Exception):
    """Another version of CineSync wrote this chain; the message says what to do."""


def create(path: Path) -> None:
    """Create an empty chain under another name and rename it, so that no reader sees half of it."""
    unfinished = path.with_name(f".{path.name}{durable.UNFINISHED}")
    for left in path.parent.glob(f"{unfinished.name}*"):
        left.unlink()  # from a validator that was killed
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.executescript(f"BEGIN; PRAGMA user_version = {SCHEMA_VERSION};{TABLES}COMMIT;")
    unfinished.rename(path)
    durable.sync_folder(path.parent)


def check_file(path: Path) -> None:
    """Raises OldFormat; ignores files that are not a chain."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as connection:
        check_format(connection, path)


def check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raises OldFormat before anything is written."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    statement = "SELECT count(*) FROM sqlite_master WHERE name = 'blocks'"
    (is_used,) = connection.execute(statement).fetchone()
    if is_used and version != SCHEMA_VERSION:
        raise OldFormat(
            f"{path} is a ledger of another version of CineSync (format {version or 1}, not"
            f" {SCHEMA_VERSION}): go on with that version, or move the data folder away to begin"
            " anew; nothing was changed"
        )
