"""Read all entries of a ledger on this machine, verified, with the memory of one block.

For audits that need the entries. `inspect` checks every byte of every replica; this reads one
replica, rebuilds its log up to every header's root, and compares every header with those of the
other replicas. If the replica is damaged, it starts again with the next one.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cinesync.pbft.log import Accepted, Content, Damaged, RecordChain
from cinesync.pbft.messages import ConsensusBlock, Decided, EpochLink, digest
from cinesync.proofs import canonical_json, entries, genesis, headers, merkle_log
from cinesync.proofs.entries import BadEntry, LedgerEntry
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator import provisioning
from cinesync.validator.inspection import inspect
from cinesync.validator.inspection.inspect import Altered, ValidatorSets
from cinesync.validator.storage.schema import check_format

# Cast to bytes: an altered row may have another type.
HEADERS: Final = "SELECT height, CAST(header AS BLOB) FROM blocks ORDER BY height"
ENTRIES: Final = "SELECT CAST(data AS BLOB) FROM entries ORDER BY idx"
SIZE: Final = "SELECT max(idx) FROM entries"


class NoReadableReplica(Exception):
    """No replica's file can be read; the message says why of each."""


@dataclass(slots=True)
class LogRead:
    """The replica that was read, how much it has, and what is wrong with others."""

    replica: int = -1
    blocks: int = 0
    entries: int = 0
    findings: list[str] = field(default_factory=list)


def read_log(
    folder: Path, begin: Callable[[], None], take: Callable[[list[LedgerEntry]], None]
) -> LogRead:
    """Pass every entry of the longest intact replica to `take`, block by block.

    `begin` is called before each replica that is tried: discard what came before.
    Raises OSError, InvalidDocument (genesis), OldFormat, NoReadableReplica, and Altered when none
    is intact.
    """
    start = genesis.load((folder / provisioning.GENESIS_FILE).read_bytes())
    sets, findings, is_altered = ValidatorSets(folder, start), list[str](), False
    order = sorted(sets.replicas(), key=lambda replica: _size(folder, replica), reverse=True)
    for replica in order:
        begin()
        others = {other: _chain(folder, other) for other in order if other != replica}
        scan = _LogScan(start, sets.signs, replica)
        try:
            scan.run(_chain(folder, replica), others, take)
        except Altered as error:
            findings.append(f"replica {replica}: {error}")
            is_altered = True
            continue
        except sqlite3.Error as error:
            findings.append(f"replica {replica}: cannot be read after block {scan.blocks}: {error}")
            continue
        findings += scan.findings
        return LogRead(replica, scan.blocks, scan.log.size, findings)
    raise (Altered if is_altered else NoReadableReplica)(
        "; ".join(["no replica is intact", *findings])
    )


def check_file(path: Path, start: Genesis, links: Sequence[EpochLink]) -> LogRead:
    """Check one chain by itself, from the genesis on. Raises Altered, OldFormat, sqlite3.Error."""
    epochs = Epochs(start)
    epochs.learn(links)
    scan = _LogScan(start, lambda header: epochs.of(header) is epochs.at(header.height))
    scan.run(path, {}, lambda _: None)
    return LogRead(blocks=scan.blocks, entries=scan.log.size)


def decided_entries(folder: Path) -> Iterator[LedgerEntry]:
    """The entries of decided blocks in the journals; the chain's file may not have them yet."""
    for home in sorted(folder.glob("validator-*")):
        with suppress(sqlite3.Error, Damaged):
            for block in _decided_blocks(home / provisioning.JOURNAL_FILE):
                for request in block.requests:
                    yield from (entries.decode(data) for data in request.operations)


def _decided_blocks(path: Path) -> list[ConsensusBlock]:
    with closing(inspect.open_file(path)) as connection:
        rows = connection.execute("SELECT record FROM records ORDER BY seq").fetchall()
    known: dict[bytes, ConsensusBlock | None] = {}
    found: list[ConsensusBlock] = []
    for entry in RecordChain().decode([bytes(row[0]) for row in rows]):
        match entry:
            case Accepted() if entry.pre_prepare.block is not None:
                known[entry.pre_prepare.digest] = entry.pre_prepare.block
            case Content():
                known[digest(entry.block)] = entry.block
            case Decided():
                block = entry.block or known.get(entry.digest)
                found += [block] if block is not None else []
    return found


def _chain(folder: Path, replica: int) -> Path:
    return provisioning.validator_home(folder, replica) / provisioning.CHAIN_FILE


def _size(folder: Path, replica: int) -> int:
    try:
        with closing(inspect.open_file(_chain(folder, replica))) as connection:
            (last,) = connection.execute(SIZE).fetchone()
    except sqlite3.Error:
        return -2
    return -1 if last is None else int(last)


class _LogScan:
    """One replica from the genesis on, others_headers the headers of the others."""

    def __init__(
        self, start: Genesis, signs: Callable[[BlockHeader], bool], replica: int = -1
    ) -> None:
        self._start = start
        self._signs = signs
        self._replica = replica
        self._before = start.chain
        self.blocks = 0
        self.log = merkle_log.Frontier()
        self.findings: list[str] = []

    def run(
        self, path: Path, others: Mapping[int, Path], take: Callable[[list[LedgerEntry]], None]
    ) -> None:
        """Raises Altered, OldFormat, sqlite3.Error."""
        with ExitStack() as stack:
            connection = stack.enter_context(closing(inspect.open_file(path)))
            check_format(connection, path)
            connection.execute("BEGIN")  # one snapshot, while validators go on writing
            others_headers = self._open_others(others, stack)
            rows = connection.execute(ENTRIES)
            for height, raw in connection.execute(HEADERS):
                self._compare(height, raw, others_headers)
                header = self._header(height, raw)
                data = [row[0] for row in islice(rows, header.size - self.log.size)]
                take(self._entries(header, data))
                self.blocks, self._before = height, header.hash
            if rows.fetchone() is not None:
                raise Altered(f"entry {self.log.size} is in no block")

    def _open_others(
        self, others: Mapping[int, Path], stack: ExitStack
    ) -> dict[int, Iterator[Any]]:
        """The headers of the other replicas; a file that cannot be opened is a finding."""
        found: dict[int, Iterator[Any]] = {}
        for replica, path in others.items():
            try:
                connection = stack.enter_context(closing(inspect.open_file(path)))
                found[replica] = connection.execute(HEADERS)
            except sqlite3.Error as error:
                self.findings.append(f"replica {replica}: cannot be read: {error}")
        return found

    def _compare(self, height: int, raw: bytes, others_headers: dict[int, Iterator[Any]]) -> None:
        """Compare a header with those of the others. Raises Altered if most of them differ."""
        differs, agrees = [], 1
        for replica, rows in list(others_headers.items()):
            try:
                row = next(rows, None)
            except sqlite3.Error as error:
                self.findings.append(f"replica {replica}: cannot be read: {error}")
                row = None
            if row is None:
                del others_headers[replica]
            elif (row[0], row[1]) != (height, raw):
                differs.append(replica)
            else:
                agrees += 1
        if len(differs) > agrees:
            raise Altered(f"block {height} is not what the others have")
        for replica in differs:
            del others_headers[replica]
            what = f"block {height} is not what replica {self._replica} has"
            self.findings.append(f"replica {replica}: {what}")

    def _header(self, height: int, raw: bytes) -> BlockHeader:
        try:
            header = headers.from_json(canonical_json.load(raw), "header")
        except (InvalidDocument, canonical_json.NotCanonical) as error:
            raise Altered(f"block {height}: {error}") from error
        if not header.height == height == self.blocks + 1 or header.size < self.log.size:
            raise Altered(f"after block {self.blocks}: the height or the size was altered")
        if header.chain != self._start.chain or header.previous != self._before:
            raise Altered(f"block {height}: header.previous, or the block below, was altered")
        if not self._signs(header):
            raise Altered(f"block {height}: header.validators is not the set in force there")
        return header

    def _entries(self, header: BlockHeader, data: Sequence[bytes]) -> list[LedgerEntry]:
        if self.log.size + len(data) != header.size:
            at = self.log.size + len(data)
            raise Altered(f"entry {at} of block {header.height} is missing")
        leaves = [merkle_log.leaf_hash(piece) for piece in data]
        first = self.log.size
        self.log.extend(leaves)
        if merkle_log.root_of(leaves) != header.entries_root or self.log.root() != header.root:
            where = f"entries {first} to {header.size - 1} of block {header.height}"
            raise Altered(f"{where}: one was altered, or the header")
        try:
            return [entries.decode(piece) for piece in data]
        except BadEntry as error:
            raise Altered(f"block {header.height}: {error}") from error
