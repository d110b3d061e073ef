"""Reads of a validator's chain: headers, entries, tree nodes, and the stream of blocks."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from cinesync.proofs import canonical_json, headers, merkle_log
from cinesync.proofs.headers import BlockHeader
from cinesync.validator.storage import block_stream

VARIABLES_MAX: Final = 900  # in one statement: older SQLite allows 999
BLOCKS_PER_READ_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with its place: index in the log, height of its block."""

    index: int
    height: int
    data: bytes


class ChainReader:
    """Reads over a connection to a chain's file. Raises sqlite3.Error when the disk fails."""

    _connection: sqlite3.Connection

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree of the log."""
        row = self._one("SELECT hash FROM nodes WHERE level = ? AND idx = ?", level, index)
        assert row is not None, f"node {level}/{index} was never complete"
        found: bytes = row[0]
        return found

    def header(self, height: int) -> BlockHeader | None:
        row = self._one("SELECT header FROM blocks WHERE height = ?", height)
        return parse_header(row[0]) if row else None

    def headers(self, after: int, limit: int) -> list[BlockHeader]:
        """Upwards from height `after` + 1."""
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
        """The index of the block's first entry, and the leaf hashes of all its entries."""
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

    def indices(self, event_ids: Sequence[str]) -> dict[str, int]:
        """The indices of those events that are in the log, by event id."""
        found: dict[str, int] = {}
        for start in range(0, len(event_ids), VARIABLES_MAX):
            part = event_ids[start : start + VARIABLES_MAX]
            marks = ",".join("?" * len(part))
            statement = f"SELECT event_id, idx FROM entries WHERE event_id IN ({marks})"  # noqa: S608 question marks
            found.update(self._all(statement, *part))
        return found

    # the stream of blocks

    def stream(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the records of all blocks."""
        statement = "SELECT height, header, first, stream_end FROM blocks WHERE stream_end > ?"
        pieces, at = [], None
        with closing(self._connection.execute(f"{statement} ORDER BY height", (start,))) as rows:
            for height, raw, _first, stream_end in rows:
                piece = block_stream.record(
                    raw, [stored.data for stored in self.entries_of_block(height)]
                )
                at = stream_end - len(piece) if at is None else at
                pieces.append(piece)
                if stream_end >= end:
                    break
        at = start if at is None else at
        return b"".join(pieces)[start - at : end - at]

    def stream_end_at(self, height: int) -> int:
        row = self._one("SELECT stream_end FROM blocks WHERE height = ?", height)
        return int(row[0]) if row else 0

    def full_chunk_hashes(self, end: int) -> list[bytes]:
        """The hashes of the chunks that lie whole in the stream's first `end` bytes."""
        statement = "SELECT hash FROM chunks WHERE idx < ? ORDER BY idx"
        return [row[0] for row in self._all(statement, end // block_stream.CHUNK_BYTES)]

    def chunk_hashes(self, end: int) -> list[bytes]:
        """The hashes of all chunks of the stream's first `end` bytes."""
        hashes = self.full_chunk_hashes(end)
        if end % block_stream.CHUNK_BYTES:
            start = end - end % block_stream.CHUNK_BYTES
            hashes.append(merkle_log.leaf_hash(self.stream(start, end)))
        return hashes

    def staged_chunks(self, manifest: bytes) -> list[bytes]:
        """The chunks of a state transfer that were checked and staged so far."""
        statement = "SELECT data FROM staged WHERE manifest = ? ORDER BY idx"
        return [row[0] for row in self._all(statement, manifest)]

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _all(self, statement: str, *values: object) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()


def parse_header(raw: bytes) -> BlockHeader:
    return headers.from_json(canonical_json.load(raw), "header")
