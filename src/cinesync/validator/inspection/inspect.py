"""`cinesync ledger audit`: every byte of every replica, hashed again; the first altered one named.

It reads the validators' files, so it runs where they are, beside running validators or without.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cinesync.pbft.log import Damaged, RecordChain, Stable
from cinesync.pbft.messages import EpochLink
from cinesync.proofs import canonical_json, entries, genesis, headers, merkle_log, merkle_map
from cinesync.proofs.entries import BadEntry
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.proofs.subjects import changes
from cinesync.validator import provisioning
from cinesync.validator.storage.chain_store import check_format, record_size
from cinesync.validator.storage.subject_map import encode_node

BLOCKS: Final = "SELECT height, header, first, stream_end FROM blocks ORDER BY height"
ENTRIES: Final = "SELECT idx, event_id, booking_id, height, data FROM entries ORDER BY idx"
MAP: Final = "SELECT place, node FROM map ORDER BY place"
NODES: Final = "SELECT level, idx, hash FROM nodes WHERE (idx + 1) << level = ? ORDER BY level"


class Altered(Exception):
    """What is wrong on a replica, the first of it."""


@dataclass(frozen=True)
class ReplicaInspection:
    """What was found: the hash of every block, and the first thing that is wrong."""

    number: int
    blocks: Sequence[bytes]
    entry_count: int
    altered: str | None


@dataclass
class InspectionReport:
    """`findings` are empty when all is well."""

    replicas: list[ReplicaInspection] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def audit(folder: Path) -> InspectionReport:
    """Check all replicas in this folder. Raises OSError, OldFormat, InvalidDocument (genesis)."""
    start = genesis.load((folder / provisioning.GENESIS_FILE).read_bytes())
    report, sets = InspectionReport(), ValidatorSets(folder, start)
    for replica in sets.replicas():
        path = provisioning.validator_home(folder, replica) / provisioning.CHAIN_FILE
        found = inspect(path, replica, start, sets)
        report.replicas.append(found)
        if found.altered is not None:
            report.findings.append(f"replica {found.number}: {found.altered}")
    report.findings += _disagreements(report.replicas)
    return report


def _disagreements(replicas: Sequence[ReplicaInspection]) -> Iterator[str]:
    """Replicas may be behind each other, but not differ. The majority is believed."""
    for height in range(1, max(len(replica.blocks) for replica in replicas) + 1):
        held = {r.number: r.blocks[height - 1] for r in replicas if len(r.blocks) >= height}
        ((common, _),) = Counter(held.values()).most_common(1)
        odd = sorted(number for number, block in held.items() if block != common)
        if odd:
            names = ", ".join(str(number) for number in odd)
            yield f"replica {names}: block {height} is not what the others have"
            return


class ValidatorSets:
    """Who was to sign which block, as the validators' journals prove it from the genesis on."""

    def __init__(self, folder: Path, start: Genesis) -> None:
        self._folder = folder
        self._epochs = Epochs(start)
        self._learn()

    @property
    def links(self) -> Sequence[EpochLink]:
        """How the validators changed since the genesis."""
        return self._epochs.links

    def replicas(self) -> list[int]:
        """All members, and those who were and still have their copies."""
        now = {validator.replica for validator in self._epochs.newest.validators}
        ever = {validator.replica for one in self._epochs.all for validator in one.validators}
        return sorted(now | {replica for replica in ever if self._home(replica).exists()})

    def signs(self, header: BlockHeader) -> bool:
        """Whether the set that this header names is the one in force at its height."""
        if not self._is_in_force(header):
            self._learn()  # the validators are running, and may have changed a moment ago
        return self._is_in_force(header)

    def _is_in_force(self, header: BlockHeader) -> bool:
        return self._epochs.of(header) is self._epochs.at(header.height)

    def _learn(self) -> None:
        for home in sorted(self._folder.glob("validator-*")):
            self._epochs.learn(_links(home / provisioning.JOURNAL_FILE))

    def _home(self, replica: int) -> Path:
        return provisioning.validator_home(self._folder, replica)


def _links(path: Path) -> Sequence[EpochLink]:
    """What a journal begins with; a damaged one tells nothing, and another does."""
    with suppress(sqlite3.Error, Damaged), closing(open_file(path)) as connection:
        rows = connection.execute("SELECT record FROM records ORDER BY seq LIMIT 1").fetchall()
        for entry in RecordChain().decode([bytes(row[0]) for row in rows]):
            return entry.links if isinstance(entry, Stable) else ()
    return ()


def inspect(path: Path, number: int, start: Genesis, sets: ValidatorSets) -> ReplicaInspection:
    """One replica's file, from the first byte to the last."""
    walk = _ChainRebuild(start, sets)
    altered = None
    try:
        with closing(open_file(path)) as connection:
            check_format(connection, path)
            walk.all(connection)
    except Altered as error:
        altered = str(error)
    except sqlite3.Error as error:
        altered = f"cannot be read after block {len(walk.blocks)}: {error}"
    return ReplicaInspection(number, walk.blocks, walk.log.size, altered)


class _ChainRebuild:
    """Rebuilds a chain beside the one on disk and compares everything."""

    def __init__(self, start: Genesis, sets: ValidatorSets) -> None:
        self.start = start
        self.sets = sets
        self.blocks: list[bytes] = []
        self.log = merkle_log.Frontier()
        self.map: dict[str, merkle_map.MapNode] = {}
        self.stream_end = 0

    def all(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")  # one moment, while validators go on writing
        (mapped,) = connection.execute("SELECT max(height) FROM map_height").fetchone()
        if not mapped:
            self._map(connection)
        rows = connection.execute(ENTRIES)
        for height, raw, first, stream_end in connection.execute(BLOCKS):
            header = self._header(height, raw)
            _same(first, self.log.size, f"block {height}: its first entry")
            data = [
                self._entry(connection, rows.fetchone(), header) for _ in range(header.size - first)
            ]
            self._block(header, data)
            if height == mapped:
                self._map(connection)
            self.stream_end += record_size(bytes(raw), data)
            _same(stream_end, self.stream_end, f"block {height}: its place in the stream")
            self.blocks.append(header.hash)
        if mapped is not None and mapped > len(self.blocks):
            raise Altered(f"the map is of height {mapped}, where there is no block")
        if rows.fetchone() is not None:
            raise Altered(f"entry {self.log.size} is in no block")
        (count,) = connection.execute("SELECT count(*) FROM nodes").fetchone()
        _same(count, 2 * self.log.size - self.log.size.bit_count(), "the number of nodes")
        ((sound,), *more) = connection.execute("PRAGMA integrity_check").fetchall()
        if sound != "ok" or more:
            raise Altered(f"the file: {sound}")

    def _header(self, height: int, raw: Any) -> BlockHeader:
        _same(height, len(self.blocks) + 1, f"after block {len(self.blocks)}: the height")
        try:
            header = headers.from_json(canonical_json.load(bytes(raw)), "header")
        except (InvalidDocument, canonical_json.NotCanonical, TypeError) as error:
            raise Altered(f"block {height}: {error}") from error
        before = self.blocks[-1] if self.blocks else self.start.chain
        _same(header.height, height, f"block {height}: header.height")
        _same(header.chain, self.start.chain, f"block {height}: header.chain")
        if not self.sets.signs(header):
            raise Altered(f"block {height}: header.validators is not the set in force there")
        _same(header.previous, before, f"block {height}: header.previous, or the block below,")
        return header

    def _entry(self, connection: sqlite3.Connection, row: Any, header: BlockHeader) -> bytes:
        index = self.log.size
        if row is None or row[0] != index:
            raise Altered(f"entry {index} of block {header.height} is missing")
        _, event_id, booking_id, height, data = row
        if not isinstance(data, bytes):
            raise Altered(f"entry {index} (event {event_id}, block {header.height})")
        made = self.log.append(merkle_log.leaf_hash(data))
        stored = [
            (level, at, bytes(node)) for level, at, node in connection.execute(NODES, (index + 1,))
        ]
        if stored != made:
            raise Altered(f"entry {index} (event {event_id}, block {header.height})")
        try:
            entry = entries.decode(data)
        except BadEntry as error:
            raise Altered(f"entry {index} (event {event_id}): {error}") from error
        columns = (entry.event_id, entry.booking_id, header.height)
        _same((event_id, booking_id, height), columns, f"entry {index}: its columns")
        return data

    def _block(self, header: BlockHeader, data: Sequence[bytes]) -> None:
        root = merkle_log.root_of(merkle_log.leaf_hash(piece) for piece in data)
        _same(
            header.entries_root, root, f"block {header.height}: an entry, or header.entries_root,"
        )
        _same(header.root, self.log.root(), f"block {header.height}: header.root")
        self._grow_map(data)
        root = merkle_map.root_hash(self._nodes)
        _same(header.map_root, root, f"block {header.height}: header.map_root")

    def _grow_map(self, data: Sequence[bytes]) -> None:
        """The map beside the one on disk, with a block more."""
        if not data:
            return  # an empty map has not even a root to be kept
        added = (
            (entries.decode(piece).booking_id, index, merkle_log.leaf_hash(piece))
            for index, piece in enumerate(data, self.log.size - len(data))
        )
        made = merkle_map.update(self._nodes, changes(added))
        self.map |= {place: node for place, node in made.items() if node is not None}

    def _nodes(self, places: Sequence[str]) -> dict[str, merkle_map.MapNode]:
        return {place: self.map[place] for place in places if place in self.map}

    def _map(self, connection: sqlite3.Connection) -> None:
        """What is on disk, at the height when it was written."""
        stored = {place: bytes(node) for place, node in connection.execute(MAP)}
        for place in sorted({*stored, *self.map}):
            node = self.map.get(place)
            if node is None or stored.get(place) != encode_node(node):
                raise Altered(f"node {place or 'at the root'} of the map")


def _same(stored: object, right: object, what: str) -> None:
    if stored != right:
        raise Altered(f"{what} was altered")


def open_file(path: Path) -> sqlite3.Connection:
    """Read only. Raises sqlite3.Error."""
    if not path.exists():
        raise sqlite3.OperationalError("there is no file")
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.text_factory = lambda data: data.decode(errors="replace")
    return connection
