"""The chain's map from subjects to their entries, in a validator's SQLite.

Nodes near the root change in every block. So changed nodes stay in memory until there are many of
them, or until a checkpoint; the nodes near the root are cached for reads too. The stored map may
be behind the blocks: the chain store brings it up to date when it opens.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from cinesync.proofs import merkle_map, subjects
from cinesync.proofs.merkle_map import MapNode, MapProof, ValueUpdate
from cinesync.proofs.subjects import Addition

TABLES: Final = """
CREATE TABLE map (place TEXT PRIMARY KEY, node BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE map_height (one INTEGER PRIMARY KEY, height INTEGER NOT NULL);
"""
NODES_CHANGED_MAX: Final = 8_192  # about 10 MB
DEPTH_CACHED_MAX: Final = 3  # 4,369 nodes of about a kilobyte, read by most blocks
VARIABLES_MAX: Final = 900

encode_node: Final = msgspec.msgpack.Encoder().encode
decode_node: Final = msgspec.msgpack.Decoder(MapNode).decode


class SubjectMap:
    """`height` is the height of the stored map; `root` covers all updates, stored or not."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("SELECT height FROM map_height").fetchone()
        self.height: int = row[0] if row else 0
        self._changed: dict[str, MapNode | None] = {}
        self._cached: dict[str, MapNode] = {}
        self.root = self._root()

    @property
    def is_full(self) -> bool:
        """Whether there are so many unsaved nodes that they should be saved."""
        return len(self._changed) >= NODES_CHANGED_MAX

    def add(self, additions: Iterable[Addition]) -> None:
        """Add entries in their order. All of a block at once: they share the upper nodes."""
        self._update(subjects.changes(additions))

    def replace(self, values: Mapping[str, bytes | None]) -> None:
        """Set the values of subjects; None removes one."""
        self._update({subjects.key_of(s): _constant(value) for s, value in values.items()})

    def clear(self) -> None:
        self._connection.execute("DELETE FROM map")
        self._changed, self._cached = {}, {}
        self.root = self._root()

    def find(self, subject: str) -> tuple[bytes | None, MapProof]:
        return merkle_map.find(self._load, subjects.key_of(subject))

    def save(self, height: int) -> None:
        """Write the changed nodes, in the caller's transaction, as the map of this height."""
        gone = [(place,) for place, node in self._changed.items() if node is None]
        new = sorted((p, encode_node(node)) for p, node in self._changed.items() if node)
        self._connection.executemany("DELETE FROM map WHERE place = ?", gone)
        self._connection.executemany("REPLACE INTO map VALUES (?, ?)", new)
        self._connection.execute("REPLACE INTO map_height VALUES (1, ?)", (height,))
        self.height, self._changed = height, {}

    def _update(self, changes: Mapping[bytes, ValueUpdate]) -> None:
        if not changes:
            return
        made = merkle_map.update(self._load, changes)
        self._changed |= made
        for place, node in made.items():
            if len(place) <= DEPTH_CACHED_MAX:
                self._cached[place] = node or merkle_map.new_node()
        self.root = self._root()

    def _root(self) -> bytes:
        return merkle_map.root_hash(self._load)

    def _load(self, places: Sequence[str]) -> dict[str, MapNode]:
        found: dict[str, MapNode] = {}
        missing = []
        for place in places:
            node = self._changed.get(place) or self._cached.get(place)
            if node is not None:
                found[place] = node
            elif place not in self._changed:
                missing.append(place)
        for start in range(0, len(missing), VARIABLES_MAX):
            found |= self._read(missing[start : start + VARIABLES_MAX])
        if unknown := set(places) - {merkle_map.ROOT} - set(found):
            raise sqlite3.DatabaseError(f"no node {min(unknown)} in the map")
        return found

    def _read(self, places: Sequence[str]) -> dict[str, MapNode]:
        marks = ",".join("?" * len(places))
        statement = f"SELECT place, node FROM map WHERE place IN ({marks})"  # noqa: S608 question marks
        try:
            rows = self._connection.execute(statement, places)
            read = {place: decode_node(node) for place, node in rows}
        except (msgspec.DecodeError, TypeError) as error:
            raise sqlite3.DatabaseError(f"a node of the map: {error}") from error
        self._cached |= {
            place: node for place, node in read.items() if len(place) <= DEPTH_CACHED_MAX
        }
        return read


def _constant(value: bytes | None) -> ValueUpdate:
    return lambda _before: value
