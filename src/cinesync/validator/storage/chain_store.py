"""A validator's copy of the chain, in SQLite: blocks, entries, the log's tree, and the map.

A transaction takes the blocks of a second or so: they share pages. A validator that lost some of
them applies them again from its journal, so there is no fsync either, until `settle` makes all of
them durable, once for every checkpoint.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cinesync.chassis import durable
from cinesync.proofs import canonical_json, entries, headers, merkle_log, merkle_map, subjects
from cinesync.proofs.headers import BlockHeader
from cinesync.validator.storage import subject_map
from cinesync.validator.storage.journal import set_aside
from cinesync.validator.storage.subject_map import SubjectMap

SETTINGS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 8000;
PRAGMA cache_size = -32768;
"""
TABLES: Final = """
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
"""
# A row of the tree in one statement: cheaper by a third than one for each node.
GROW: Final = """
WITH RECURSIVE row (at) AS
    (SELECT 0 UNION ALL SELECT at + 1 FROM row WHERE (at + 1) * 32 < length(?3))
INSERT INTO nodes SELECT ?1, ?2 + at, substr(?3, at * 32 + 1, 32) FROM row
"""
SCHEMA_VERSION: Final = 2  # 1: headers without map_root
VARIABLES_MAX: Final = 900  # SQLite's own limit was 999 for long
BLOCKS_PER_READ_MAX: Final = 100
CHUNK_BYTES: Final = 512 * 1024
_LENGTH: Final = struct.Struct(">I")


class OldFormat(Exception):
    """This chain was written by another version; the message says what to do."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry and where it is."""

    index: int
    height: int
    data: bytes


class ChainStore:
    """Raises OldFormat, and sqlite3.Error when the disk fails; the validator must then stop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self._made: list[merkle_log.NodeRow] = []
        if not self.path.exists():
            _make(self.path)
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        check_format(self._connection, self.path)
        self._connection.executescript(SETTINGS)
        self.map = SubjectMap(self._connection)
        self._remember()
        self._catch_up()

    def close(self) -> None:
        self.commit()
        self._connection.close()

    def reset(self) -> None:
        """Be empty. What was here is kept: a validator that lost its journal may be the last one
        that has it."""
        if self.height == 0:
            return
        self.close()
        set_aside(self.path)
        self._open()

    def commit(self) -> None:
        """Let others who open the file see all blocks so far."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def _remember(self) -> None:
        """What growing needs is kept in memory."""
        row = self._one("SELECT header, stream_end FROM blocks ORDER BY height DESC LIMIT 1")
        self.head: BlockHeader | None = parse_header(row[0]) if row else None
        self.stream_end: int = row[1] if row else 0
        self.log = merkle_log.frontier(self.head.size if self.head else 0, self.node)
        whole = len(self._whole_chunks(self.stream_end))
        self._tail = StreamTail(whole)
        self._hash_chunks(self.stream(whole * CHUNK_BYTES, self.stream_end))

    def _catch_up(self) -> None:
        """The map, with the blocks that came after it was last written."""
        if self.map.height < self.height:
            mapped = self.header(self.map.height)
            statement = "SELECT booking_id, idx, data FROM entries WHERE idx >= ? ORDER BY idx"
            rows = self._all(statement, mapped.size if mapped else 0)
            self.map.add(
                (subject, index, merkle_log.leaf_hash(data)) for subject, index, data in rows
            )
            self._save_map()
        if self.map.root != (self.head.map_root if self.head else merkle_map.EMPTY_ROOT):
            raise sqlite3.DatabaseError("the map is not that of the last block")

    def _save_map(self) -> None:
        with self._transaction():
            self.map.save(self.height)

    @property
    def height(self) -> int:
        return self.head.height if self.head else 0

    # write

    def add(self, header: BlockHeader, fresh: Sequence[tuple[entries.LedgerEntry, bytes]]) -> None:
        """Append a block whose leaves `self.log` has already taken through `place`.

        It is in the file with the next `commit`. An error takes all since the last one away.
        """
        first = header.size - len(fresh)
        raw = header.encoded
        piece = record(raw, [data for _, data in fresh])
        end = self.stream_end + len(piece)
        rows = [
            (first + at, entry.event_id, entry.booking_id, header.height, data)
            for at, (entry, data) in enumerate(fresh)
        ]
        with self._transaction(commits=False):
            self._connection.executemany(GROW, self._made)
            self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows)
            values = (header.height, raw, first, end)
            self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", values)
            self._hash_chunks(piece)
            if self.map.is_full:
                self.map.save(header.height)
        self.head, self.stream_end = header, end

    def place(self, fresh: Sequence[entries.LedgerEntry], leaves: Sequence[bytes]) -> None:
        """Grow log and map in memory; `add` stores what they made."""
        first = self.log.size
        pairs = zip(fresh, leaves, strict=True)
        self.map.add((e.booking_id, first + at, leaf) for at, (e, leaf) in enumerate(pairs))
        self._made = self.log.extend(leaves)

    def settle(self) -> None:
        """Everything so far outlives a power cut: one commit with an fsync of the whole WAL."""
        self._save_map()
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("REPLACE INTO settled VALUES (1, ?)", (self.height,))
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def cut(self, height: int) -> None:
        """Forget what is above a height."""
        if height >= self.height:
            return
        header = self.header(height)
        size = header.size if header is not None else 0
        whole = self.stream_end_at(height) // CHUNK_BYTES
        with self._transaction() as connection:
            connection.execute("DELETE FROM blocks WHERE height > ?", (height,))
            self._cut_map(size)
            self.map.save(height)
            connection.execute("DELETE FROM entries WHERE idx >= ?", (size,))
            connection.execute("DELETE FROM nodes WHERE (idx + 1) << level > ?", (size,))
            connection.execute("DELETE FROM chunks WHERE idx >= ?", (whole,))
        self._remember()

    def _cut_map(self, size: int) -> None:
        """What each subject had before, while its entries are still here."""
        if size == 0:
            self.map.clear()
            return
        statement = "SELECT DISTINCT booking_id FROM entries WHERE idx >= ?"
        cut = [subject for (subject,) in self._all(statement, size)]
        self.map.replace({subject: self._value_before(subject, size) for subject in cut})

    def _value_before(self, subject: str, size: int) -> bytes | None:
        placed = [one for one in self.entries_of_booking(subject) if one.index < size]
        return subjects.value_of((one.index, merkle_log.leaf_hash(one.data)) for one in placed)

    @contextmanager
    def _transaction(self, *, commits: bool = True) -> Iterator[sqlite3.Connection]:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        if commits:
            self.commit()

    # read

    def node(self, level: int, index: int) -> bytes:
        row = self._one("SELECT hash FROM nodes WHERE level = ? AND idx = ?", level, index)
        assert row is not None, f"node {level}/{index} was never complete"
        found: bytes = row[0]
        return found

    def header(self, height: int) -> BlockHeader | None:
        row = self._one("SELECT header FROM blocks WHERE height = ?", height)
        return parse_header(row[0]) if row else None

    def headers(self, after: int, limit: int) -> list[BlockHeader]:
        """From height `after` + 1 upwards."""
        limit = min(limit, BLOCKS_PER_READ_MAX)
        statement = "SELECT header FROM blocks WHERE height > ? ORDER BY height ASC LIMIT ?"
        return [parse_header(row[0]) for row in self._all(statement, after, limit)]

    def entries_of_block(self, height: int) -> list[StoredEntry]:
        statement = "SELECT idx, height, data FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx"
        row = self._one("SELECT first, header FROM blocks WHERE height = ?", height)
        if row is None:
            return []
        return [StoredEntry(*r) for r in self._all(statement, row[0], parse_header(row[1]).size)]

    def leaves_of_block(self, height: int) -> tuple[int, list[bytes]]:
        """The index of its first entry, and the hashes of all of them."""
        statement = "SELECT idx, hash FROM nodes WHERE level = 0 AND idx >= ? AND idx < ?"
        row = self._one("SELECT first, header FROM blocks WHERE height = ?", height)
        rows = self._all(f"{statement} ORDER BY idx", row[0], parse_header(row[1]).size)
        return row[0], [leaf for _, leaf in rows]

    def entries_of_booking(self, booking_id: str) -> list[StoredEntry]:
        statement = "SELECT idx, height, data FROM entries WHERE booking_id = ? ORDER BY idx"
        return [StoredEntry(*row) for row in self._all(statement, booking_id)]

    def entry(self, event_id: str) -> StoredEntry | None:
        row = self._one("SELECT idx, height, data FROM entries WHERE event_id = ?", event_id)
        return StoredEntry(*row) if row else None

    def places(self, event_ids: Sequence[str]) -> dict[str, int]:
        """The indices of those that are here already."""
        found: dict[str, int] = {}
        for start in range(0, len(event_ids), VARIABLES_MAX):
            part = event_ids[start : start + VARIABLES_MAX]
            marks = ",".join("?" * len(part))
            statement = f"SELECT event_id, idx FROM entries WHERE event_id IN ({marks})"  # noqa: S608 question marks
            found.update(self._all(statement, *part))
        return found

    # the chain as one stream of bytes, cut into chunks that others may fetch

    def stream(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of all blocks' records, one after the other."""
        statement = "SELECT height, header, first, stream_end FROM blocks WHERE stream_end > ?"
        pieces, at = [], None
        with closing(self._connection.execute(f"{statement} ORDER BY height", (start,))) as rows:
            for height, raw, _first, stream_end in rows:
                data = [placed.data for placed in self.entries_of_block(height)]
                piece = record(raw, data)
                at = stream_end - len(piece) if at is None else at
                pieces.append(piece)
                if stream_end >= end:
                    break
        at = start if at is None else at
        return b"".join(pieces)[start - at : end - at]

    def stream_end_at(self, height: int) -> int:
        row = self._one("SELECT stream_end FROM blocks WHERE height = ?", height)
        return int(row[0]) if row else 0

    def chunk_hashes(self, end: int) -> list[bytes]:
        """Of the stream's first `end` bytes; those of whole chunks are computed once."""
        hashes = self._whole_chunks(end)
        if end == self.stream_end:
            return hashes + self._tail.hashes
        if end % CHUNK_BYTES:
            start = end - end % CHUNK_BYTES
            hashes.append(merkle_log.leaf_hash(self.stream(start, end)))
        return hashes

    def _hash_chunks(self, piece: bytes) -> None:
        """Take in what the stream grew by, and keep the hashes of chunks that it completes."""
        self._connection.executemany("INSERT INTO chunks VALUES (?, ?)", self._tail.take(piece))

    def _whole_chunks(self, end: int) -> list[bytes]:
        statement = "SELECT hash FROM chunks WHERE idx < ? ORDER BY idx"
        return [row[0] for row in self._all(statement, end // CHUNK_BYTES)]

    def stage(self, manifest: bytes, index: int, data: bytes) -> None:
        """Set a checked chunk aside; those of another manifest are dropped."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM staged WHERE manifest <> ?", (manifest,))
            connection.execute("REPLACE INTO staged VALUES (?, ?, ?)", (index, manifest, data))

    def staged(self, manifest: bytes) -> list[bytes]:
        statement = "SELECT data FROM staged WHERE manifest = ? ORDER BY idx"
        return [row[0] for row in self._all(statement, manifest)]

    def unstage(self) -> None:
        self._connection.execute("DELETE FROM staged")

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _all(self, statement: str, *values: object) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()


class StreamTail:
    """The last chunk of the stream, hashed as it grows."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._begin()

    def _begin(self) -> None:
        self._hash, self._size = hashlib.sha256(b"\x00"), 0

    @property
    def hashes(self) -> list[bytes]:
        return [self._hash.digest()] if self._size else []

    def take(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Index and hash of every chunk that it completes."""
        at = 0
        while at < len(piece):
            part = memoryview(piece)[at : at + CHUNK_BYTES - self._size]
            self._hash.update(part)
            self._size += len(part)
            at += len(part)
            if self._size == CHUNK_BYTES:
                yield self._index, self._hash.digest()
                self._index += 1
                self._begin()


def _make(path: Path) -> None:
    """An empty chain. It gets its name when it is whole: who reads it never finds half a schema."""
    unfinished = path.with_name(f".{path.name}{durable.UNFINISHED}")
    for left in path.parent.glob(f"{unfinished.name}*"):
        left.unlink()  # of a validator that was killed
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        tables = f"{TABLES}{subject_map.TABLES}"
        connection.executescript(f"BEGIN; PRAGMA user_version = {SCHEMA_VERSION};{tables}COMMIT;")
    unfinished.rename(path)
    durable.sync_folder(path.parent)


def check_file(path: Path) -> None:
    """Raises OldFormat; what is no chain at all is not its business."""
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


def parse_header(raw: bytes) -> BlockHeader:
    return headers.from_json(canonical_json.load(raw), "header")


def record(header: bytes, data: Sequence[bytes]) -> bytes:
    """A block in the stream: how many entries, then header and entries, each with its length."""
    parts = [_LENGTH.pack(len(data))]
    for part in (header, *data):
        parts += [_LENGTH.pack(len(part)), part]
    return b"".join(parts)


def record_size(header: bytes, data: Sequence[bytes]) -> int:
    return _LENGTH.size * (2 + len(data)) + len(header) + sum(len(part) for part in data)


def records(stream: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """The blocks of a whole stream."""
    at = 0
    while at < len(stream):
        (count,) = _LENGTH.unpack_from(stream, at)
        at += _LENGTH.size
        parts = []
        for _ in range(count + 1):
            (size,) = _LENGTH.unpack_from(stream, at)
            at += _LENGTH.size
            parts.append(stream[at : at + size])
            at += size
        yield parts[0], parts[1:]
