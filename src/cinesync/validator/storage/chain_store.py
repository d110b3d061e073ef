"""A validator's copy of the chain in SQLite: blocks, entries, the log's tree, and the map.

Theory of operation. Consensus decides blocks and keeps them in its journal, durably, until a
checkpoint is stable. So the chain's file may lose its newest blocks in a crash: the validator
applies them again. This allows two cheap steps and one expensive step:

- `append` writes a block into an open transaction. Blocks of about a second share the transaction
  and its pages. The log's right edge (`log`), the tip (`tip`) and the hash of the last chunk are in
  memory, so that appending reads nothing.
- `commit` ends the transaction, so that other processes see the blocks. It does not fsync.
- `sync`, at each checkpoint, writes the map and makes everything durable: one commit with an fsync
  of the whole WAL. A checkpoint is signed after it.

The map from bookings to entries changes near its root in every block, so its nodes are written
only when many have changed (see `subject_map`). If it is behind the blocks when the chain is
opened, it catches up from the entries.

`truncate` removes the blocks above a height, when the journal proves a lower one; `reset` sets the
whole file aside. Nothing deletes a copy that may be the last one.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cinesync.proofs import entries, merkle_log, merkle_map, subjects
from cinesync.proofs.headers import BlockHeader
from cinesync.validator.storage import block_stream, schema
from cinesync.validator.storage.block_stream import StreamTail
from cinesync.validator.storage.chain_reader import ChainReader, parse_header
from cinesync.validator.storage.journal import set_aside
from cinesync.validator.storage.subject_map import SubjectMap

# One statement inserts a whole row of tree nodes: a third cheaper than one statement a node.
INSERT_NODES: Final = """
WITH RECURSIVE row (at) AS
    (SELECT 0 UNION ALL SELECT at + 1 FROM row WHERE (at + 1) * 32 < length(?3))
INSERT INTO nodes SELECT ?1, ?2 + at, substr(?3, at * 32 + 1, 32) FROM row
"""


class ChainStore(ChainReader):
    """Raises OldFormat, and sqlite3.Error when the disk fails; the validator must then stop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self._new_nodes: list[merkle_log.NodeRow] = []
        if not self.path.exists():
            schema.create(self.path)
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        schema.check_format(self._connection, self.path)
        self._connection.executescript(schema.SETTINGS)
        self.map = SubjectMap(self._connection)
        self._load_tip()
        self._update_map()

    def close(self) -> None:
        self.commit()
        self._connection.close()

    def reset(self) -> None:
        """Start an empty chain. Set the old file aside: a validator that lost its journal may have
        the last copy."""
        if self.height == 0:
            return
        self.close()
        set_aside(self.path)
        self._open()

    def commit(self) -> None:
        """Make all blocks so far visible to other processes."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def _load_tip(self) -> None:
        """Load what appending needs into memory."""
        row = self._one("SELECT header, stream_end FROM blocks ORDER BY height DESC LIMIT 1")
        self.tip: BlockHeader | None = parse_header(row[0]) if row else None
        self.stream_end: int = row[1] if row else 0
        self.log = merkle_log.frontier(self.tip.size if self.tip else 0, self.node)
        full = len(self.full_chunk_hashes(self.stream_end))
        self._tail = StreamTail(full)
        self._hash_chunks(self.stream(full * block_stream.CHUNK_BYTES, self.stream_end))

    def _update_map(self) -> None:
        """Add the entries of the blocks that came after the map was written."""
        if self.map.height < self.height:
            mapped = self.header(self.map.height)
            statement = "SELECT booking_id, idx, data FROM entries WHERE idx >= ? ORDER BY idx"
            rows = self._all(statement, mapped.size if mapped else 0)
            self.map.add(
                (subject, index, merkle_log.leaf_hash(data)) for subject, index, data in rows
            )
            self._save_map()
        if self.map.root != (self.tip.map_root if self.tip else merkle_map.EMPTY_ROOT):
            raise sqlite3.DatabaseError("the map is not that of the last block")

    def _save_map(self) -> None:
        with self._transaction():
            self.map.save(self.height)

    @property
    def height(self) -> int:
        return self.tip.height if self.tip else 0

    def extend_log(self, fresh: Sequence[entries.LedgerEntry], leaves: Sequence[bytes]) -> None:
        """Add entries to log and map in memory, so that their header can be made."""
        first = self.log.size
        pairs = zip(fresh, leaves, strict=True)
        self.map.add((e.booking_id, first + at, leaf) for at, (e, leaf) in enumerate(pairs))
        self._new_nodes = self.log.extend(leaves)

    def append(
        self, header: BlockHeader, fresh: Sequence[tuple[entries.LedgerEntry, bytes]]
    ) -> None:
        """Append a block whose entries are in log and map already (`extend_log`).

        The next `commit` makes it visible. An error rolls back all blocks since the last commit.
        """
        first = header.size - len(fresh)
        raw = header.encoded
        piece = block_stream.record(raw, [data for _, data in fresh])
        end = self.stream_end + len(piece)
        rows = [
            (first + at, entry.event_id, entry.booking_id, header.height, data)
            for at, (entry, data) in enumerate(fresh)
        ]
        with self._transaction(commits=False):
            self._connection.executemany(INSERT_NODES, self._new_nodes)
            self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows)
            values = (header.height, raw, first, end)
            self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", values)
            self._hash_chunks(piece)
            if self.map.is_full:
                self.map.save(header.height)
        self.tip, self.stream_end = header, end

    def sync(self) -> None:
        """Make everything so far durable: one commit with an fsync of the whole WAL."""
        self._save_map()
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("REPLACE INTO settled VALUES (1, ?)", (self.height,))
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def truncate(self, height: int) -> None:
        """Remove the blocks above a height."""
        if height >= self.height:
            return
        header = self.header(height)
        size = header.size if header is not None else 0
        full_chunks = self.stream_end_at(height) // block_stream.CHUNK_BYTES
        with self._transaction() as connection:
            connection.execute("DELETE FROM blocks WHERE height > ?", (height,))
            self._truncate_map(size)
            self.map.save(height)
            connection.execute("DELETE FROM entries WHERE idx >= ?", (size,))
            connection.execute("DELETE FROM nodes WHERE (idx + 1) << level > ?", (size,))
            connection.execute("DELETE FROM chunks WHERE idx >= ?", (full_chunks,))
        self._load_tip()

    def _truncate_map(self, size: int) -> None:
        """Give each subject its earlier value, while its entries are still here."""
        if size == 0:
            self.map.clear()
            return
        statement = "SELECT DISTINCT booking_id FROM entries WHERE idx >= ?"
        removed = [subject for (subject,) in self._all(statement, size)]
        self.map.replace({subject: self._value_before(subject, size) for subject in removed})

    def _value_before(self, subject: str, size: int) -> bytes | None:
        stored = [one for one in self.entries_of_booking(subject) if one.index < size]
        return subjects.value_of((one.index, merkle_log.leaf_hash(one.data)) for one in stored)

    def chunk_hashes(self, end: int) -> list[bytes]:
        if end == self.stream_end:
            return self.full_chunk_hashes(end) + self._tail.hashes
        return super().chunk_hashes(end)

    def _hash_chunks(self, piece: bytes) -> None:
        """Hash the stream's new bytes, and store the hashes of the chunks that they complete."""
        self._connection.executemany("INSERT INTO chunks VALUES (?, ?)", self._tail.append(piece))

    def stage_chunk(self, manifest: bytes, index: int, data: bytes) -> None:
        """Keep a checked chunk of a state transfer; drop those of other manifests."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM staged WHERE manifest <> ?", (manifest,))
            connection.execute("REPLACE INTO staged VALUES (?, ?, ?)", (index, manifest, data))

    def drop_staged(self) -> None:
        self._connection.execute("DELETE FROM staged")

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
