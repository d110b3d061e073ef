"""`cinesync ledger audit`: hash every byte of every replica again; name the first altered one.

Theory of operation. For each replica `_ChainRebuild` reads its chain's file once, in the order of
the log, and rebuilds in memory what the file must contain: the Merkle tree, the map of bookings,
and the end of the stream after each block. It compares every stored row with the rebuilt one. So
a finding names the first entry, block or node that differs, and nothing stored goes unread:

- headers: their fields, their link to the header before, and the set of validators in force there,
  which the journals' epoch links prove from the genesis on;
- entries: their bytes through the tree, their columns through their content;
- tree nodes: one by one, and their number; the map at the height at which it was written;
- the SQLite file itself, by its integrity check.

Afterwards `_disagreements` compares the replicas: one may be behind another, but not differ.
It opens files read-only in one transaction, so it runs beside running validators. It must run on
the machine with the files.
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
from cinesync.validator.storage.block_stream import record_size
from cinesync.validator.storage.schema import check_format
from cinesync.validator.storage.subject_map import encode_node

BLOCKS: Final = "SELECT height, header, first, stream_end FROM blocks ORDER BY height"
ENTRIES: Final = "SELECT idx, event_id, booking_id, height, data FROM entries ORDER BY idx"
MAP: Final = "SELECT place, node FROM map ORDER BY place"
NODES: Final = "SELECT level, idx, hash FROM nodes WHERE (idx + 1) << level = ? ORDER BY level"


class Altered(Exception):
    """The first thing that is wrong with a replica."""


@dataclass(frozen=True)
class ReplicaInspection:
    """The hashes of a replica's blocks, and the first thing that is wrong with it."""

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
    """The first height at which replicas differ; the minority counts as altered."""
    for height in range(1, max(len(replica.blocks) for replica in replicas) + 1):
        hashes = {r.number: r.blocks[height - 1] for r in replicas if len(r.blocks) >= height}
        ((common, _),) = Counter(hashes.values()).most_common(1)
        odd = sorted(number for number, block in hashes.items() if block != common)
        if odd:
            names = ", ".join(str(number) for number in odd)
            yield f"replica {names}: block {height} is not what the others have"
            return


class ValidatorSets:
    """The validators in force at each height, as the journals prove from the genesis on."""

    def __init__(self, folder: Path, start: Genesis) -> None:
        self._folder = folder
        self._epochs = Epochs(start)
        self._learn()

    @property
    def links(self) -> Sequence[EpochLink]:
        """The epoch links since the genesis."""
        return self._epochs.links

    def replicas(self) -> list[int]:
        """The validators, and former ones whose homes are still here."""
        now = {validator.replica for validator in self._epochs.newest.validators}
        ever = {validator.replica for one in self._epochs.all for validator in one.validators}
        return sorted(now | {replica for replica in ever if self._home(replica).exists()})

    def signs(self, header: BlockHeader) -> bool:
        """Whether the header names the set that is in force at its height."""
        if not self._is_in_force(header):
            self._learn()  # running validators may have changed since
        return self._is_in_force(header)

    def _is_in_force(self, header: BlockHeader) -> bool:
        return self._epochs.of(header) is self._epochs.at(header.height)

    def _learn(self) -> None:
        for home in sorted(self._folder.glob("validator-*")):
            self._epochs.learn(_links(home / provisioning.JOURNAL_FILE))

    def _home(self, replica: int) -> Path:
        return provisioning.validator_home(self._folder, replica)


def _links(path: Path) -> Sequence[EpochLink]:
    """The links in a journal's first record; none if it is damaged: other journals have them."""
    with suppress(sqlite3.Error, Damaged), closing(open_file(path)) as connection:
        rows = connection.execute("SELECT record FROM records ORDER BY seq LIMIT 1").fetchall()
        for entry in RecordChain().decode([bytes(row[0]) for row in rows]):
            return entry.links if isinstance(entry, Stable) else ()
    return ()


def inspect(path: Path, number: int, start: Genesis, sets: ValidatorSets) -> ReplicaInspection:
    """Check one replica's file completely."""
    rebuild = _ChainRebuild(start, sets)
    altered = None
    try:
        with closing(open_file(path)) as connection:
            check_format(connection, path)
            rebuild.all(connection)
    except Altered as error:
        altered = str(error)
    except sqlite3.Error as error:
        altered = f"cannot be read after block {len(rebuild.blocks)}: {error}"
    return ReplicaInspection(number, rebuild.blocks, rebuild.log.size, altered)


class _ChainRebuild:
    """Rebuilds a chain in memory and compares every stored row with it."""

    def __init__(self, start: Genesis, sets: ValidatorSets) -> None:
        self.start = start
        self.sets = sets
        self.blocks: list[bytes] = []
        self.log = merkle_log.Frontier()
        self.map: dict[str, merkle_map.MapNode] = {}
        self.stream_end = 0

    def all(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")  # one snapshot, while validators go on writing
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
        ((is_intact,), *more) = connection.execute("PRAGMA integrity_check").fetchall()
        if is_intact != "ok" or more:
            raise Altered(f"the file: {is_intact}")

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
        """Add a block to the rebuilt map."""
        if not data:
            return  # an empty map has no stored root
        added = (
            (entries.decode(piece).booking_id, index, merkle_log.leaf_hash(piece))
            for index, piece in enumerate(data, self.log.size - len(data))
        )
        made = merkle_map.update(self._nodes, changes(added))
        self.map |= {place: node for place, node in made.items() if node is not None}

    def _nodes(self, places: Sequence[str]) -> dict[str, merkle_map.MapNode]:
        return {place: self.map[place] for place in places if place in self.map}

    def _map(self, connection: sqlite3.Connection) -> None:
        """Compare the stored map, at the height at which it was written."""
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
