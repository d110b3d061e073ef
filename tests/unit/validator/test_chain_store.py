"""A validator's chain on disk, and what consensus needs of it."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesync.pbft.messages import Request
from cinesync.proofs import canonical_json, merkle_log, merkle_map, subjects
from cinesync.proofs.headers import BlockHeader
from cinesync.validator import state_machine
from cinesync.validator.state_machine import LedgerStateMachine
from cinesync.validator.storage import block_stream, subject_map
from cinesync.validator.storage.chain_store import ChainStore
from cinesync.validator.storage.journal import Journal, open_journal
from cinesync.validator.storage.schema import OldFormat, check_file
from tests.support.ledger_chains import START, entry, founders


def request(*numbers: int) -> Request:
    return Request("ledger", 1, tuple(entry(number).encode() for number in numbers))


def grow(ledger: LedgerStateMachine, *numbers: int) -> list[int]:
    height = ledger.chain.height + 1
    applied = ledger.apply(height, START + height, [request(*numbers)])
    assert ledger.chain.tip is not None
    assert applied.digest == ledger.chain.tip.hash
    return state_machine.entry_indices(applied.results[0])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerStateMachine]:
    made = LedgerStateMachine(founders(), ChainStore(tmp_path / "chain.sqlite"))
    yield made
    made.chain.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LedgerStateMachine]:
    made = LedgerStateMachine(founders(), ChainStore(tmp_path / "other.sqlite"))
    yield made
    made.chain.close()


def head(ledger: LedgerStateMachine) -> BlockHeader:
    assert ledger.chain.tip is not None
    return ledger.chain.tip


def test_equal_blocks_make_equal_chains(
    ledger: LedgerStateMachine, other: LedgerStateMachine
) -> None:
    for one in (ledger, other):
        grow(one, 1, 2, 3)
        grow(one)
        grow(one, 4)
    assert head(ledger) == head(other)
    assert ledger.snapshot(3) == other.snapshot(3)


def test_an_event_that_is_there_is_not_appended_again(ledger: LedgerStateMachine) -> None:
    assert grow(ledger, 1, 2, 1) == [0, 1, 0]
    assert grow(ledger, 3, 2) == [2, 1]
    assert head(ledger).size == 3
    found = ledger.apply(3, START + 3, [request(4), request(4, 5)])
    assert [state_machine.entry_indices(result) for result in found.results] == [[3], [3, 4]]


def test_a_chain_is_the_same_after_it_was_opened_again(ledger: LedgerStateMachine) -> None:
    grow(ledger, *range(7))
    ledger.chain.commit()
    again = LedgerStateMachine(founders(), ChainStore(ledger.chain.path))
    grow(ledger, 7, 8)
    ledger.chain.commit()
    again.chain.close()
    again = LedgerStateMachine(founders(), ChainStore(ledger.chain.path))
    assert head(again) == head(ledger)
    assert again.chain.log.root() == ledger.chain.log.root()
    again.chain.close()


def test_blocks_that_a_crash_took_from_the_file_are_applied_again(
    ledger: LedgerStateMachine,
) -> None:
    grow(ledger, 1, 2)
    ledger.snapshot(1)
    grow(ledger, 3)
    grow(ledger, 4)
    crashed = sqlite3.connect(f"{ledger.chain.path.as_uri()}?mode=ro", uri=True)
    (height,) = crashed.execute("SELECT max(height) FROM blocks").fetchone()
    crashed.close()
    assert height == 1  # a transaction takes several, and this one has not ended
    ledger.chain._connection.execute("ROLLBACK")
    again = LedgerStateMachine(founders(), ChainStore(ledger.chain.path))
    grow(again, 3)
    grow(again, 4)
    assert head(again) == head(ledger)
    again.chain.close()
    again = LedgerStateMachine(founders(), ChainStore(ledger.chain.path))
    assert head(again) == head(ledger)
    again.chain.close()


def test_only_entries_are_valid_operations(ledger: LedgerStateMachine) -> None:
    assert ledger.validate(entry(1).encode())
    assert not ledger.validate(b"{}")
    assert not ledger.validate(entry(1).encode() + b" ")


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_truncated_blocks_applied_again_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, sizes: Sequence[int], data: st.DataObject
) -> None:
    made = LedgerStateMachine(
        founders(), ChainStore(tmp_path_factory.mktemp("chain") / "chain.sqlite")
    )
    numbers = iter(range(100))
    blocks = [[next(numbers) for _ in range(size)] for size in sizes]
    for block in blocks:
        grow(made, *block)
    before, end = head(made), made.chain.stream_end
    height = data.draw(st.integers(0, len(blocks)))
    manifest = made.snapshot(height).manifest if height else b""
    assert made.restore(height, manifest)
    assert made.chain.height == height
    for block in blocks[height:]:
        grow(made, *block)
    assert (head(made), made.chain.stream_end) == (before, end)
    for index in range(before.size):
        leaf = merkle_log.leaf_hash(entry(index).encode())
        path = merkle_log.inclusion(index, before.size, made.chain.node)
        assert merkle_log.root_from_inclusion(leaf, index, before.size, path) == before.root
    made.chain.close()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a little chain has many."""
    monkeypatch.setattr(block_stream, "CHUNK_BYTES", 1000)


@pytest.mark.usefixtures("small_chunks")
def test_a_state_is_rebuilt_from_chunks_of_peers(
    ledger: LedgerStateMachine, other: LedgerStateMachine
) -> None:
    for number in range(0, 30, 3):
        grow(ledger, number, number + 1, number + 2)
    wanted = head(ledger)
    snapshot = ledger.snapshot(10)
    grow(ledger, 99)
    grow(other, 7)
    assert snapshot.chunks > 5
    assert not other.restore(10, snapshot.manifest)
    for index in range(snapshot.chunks):
        data = ledger.chunk(10, index)
        assert data is not None
        assert other.receive(10, snapshot.manifest, index, data)
    assert other.restore(10, snapshot.manifest)
    assert head(other) == wanted
    assert other.snapshot(10) == snapshot
    assert grow(other, 99) == [30]
    assert head(other) == head(ledger)


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_of_another_state_is_refused(
    ledger: LedgerStateMachine, other: LedgerStateMachine
) -> None:
    for number in range(20):
        grow(ledger, number)
    snapshot = ledger.snapshot(20)
    first, second = ledger.chunk(20, 0), ledger.chunk(20, 1)
    assert first is not None
    assert second is not None
    altered = msgspec.msgpack.decode(first)
    altered[0] = altered[0][:-1] + b"!"
    assert not other.receive(20, snapshot.manifest, 0, msgspec.msgpack.encode(altered))
    assert not other.receive(20, snapshot.manifest, 0, second)
    assert not other.receive(20, snapshot.manifest, 10**6, first)
    assert not other.receive(20, snapshot.manifest, 0, b"garbage")
    assert not other.receive(20, b"garbage", 0, first)
    assert not other.restore(20, snapshot.manifest)
    assert ledger.chunk(20, 10**6) is None
    assert ledger.chunk(20, -1) is None


def test_a_reset_sets_the_old_chain_aside(ledger: LedgerStateMachine) -> None:
    """After its journal was lost: nobody else may have it."""
    grow(ledger, 1, 2)
    had = head(ledger)
    for _ in range(2):
        ledger.reset()
        assert (ledger.chain.height, ledger.chain.tip) == (0, None)
    kept = ChainStore(ledger.chain.path.with_name(f"{ledger.chain.path.name}.damaged"))
    assert kept.tip == had
    kept.close()
    grow(ledger, 3)
    ledger.reset()
    assert ledger.chain.path.with_name(f"{ledger.chain.path.name}.damaged-2").exists()


def test_the_empty_chain_is_a_state_too(ledger: LedgerStateMachine) -> None:
    grow(ledger, 1)
    assert ledger.restore(0, b"")
    assert ledger.chain.tip is None
    assert grow(ledger, 5) == [0]
    assert not ledger.chain.path.with_name(f"{ledger.chain.path.name}.damaged").exists()


def test_the_records_of_a_stream_come_back() -> None:
    blocks = [(b"h1", [b"a", b"bc"]), (b"h2", [])]
    stream = b"".join(block_stream.record(*block) for block in blocks)
    assert list(block_stream.records(stream)) == blocks
    assert len(stream) == sum(block_stream.record_size(*block) for block in blocks)


# the journal


def test_a_journal_returns_its_records_in_order(tmp_path: Path) -> None:
    journal, records = open_journal(tmp_path / "journal")
    assert records == []
    journal.write([b"1", b"2"], replace=False)
    journal.write([b"3"], replace=False)
    assert journal.records() == [b"1", b"2", b"3"]
    journal.write([b"4"], replace=True)
    journal.write([], replace=False)
    journal.close()
    journal, records = open_journal(tmp_path / "journal")
    assert records == [b"4"]
    journal.close()


def test_a_write_that_fails_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.write([b"1"], replace=False)
    with pytest.raises(sqlite3.Error):
        journal.write([b"2", object()], replace=True)  # type: ignore[list-item]
    assert journal.records() == [b"1"]
    journal.close()


@pytest.mark.parametrize("harm", ["overwritten", "cut"])
def test_a_damaged_journal_is_set_aside(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.write([bytes(5000)] * 20, replace=False)
    journal.close()
    data = path.read_bytes()
    path.write_bytes(b"?" * len(data) if harm == "overwritten" else data[: len(data) // 2])
    journal, records = open_journal(path)
    assert records == []
    journal.close()
    assert (tmp_path / "journal.damaged").exists()


# The kernel lets no file grow beyond so many bytes; a process of its own: nobody else shall stop.
CRAMPED = """
import resource, sys
from pathlib import Path
from cinesync.validator.storage import chain_store, journal
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
path = Path(sys.argv[1])
{"chain": chain_store.ChainStore, "journal": journal.open_journal}[path.stem](path)
"""


def open_cramped(path: Path, room_bytes: int) -> str:
    """What it says of a disk that takes no more."""
    command = [sys.executable, "-c", CRAMPED, str(path), str(room_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, "there was room"
    return done.stderr.splitlines()[-1]


def test_a_journal_on_a_full_disk_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal, _ = open_journal(path)
    journal.write([b"1"], replace=False)
    journal.close()
    assert open_cramped(path, 0).startswith("sqlite3.OperationalError")
    journal, records = open_journal(path)
    assert records == [b"1"]
    journal.close()
    assert not (tmp_path / "journal.damaged").exists()


@pytest.mark.parametrize("room_bytes", [0, 1 << 12, 1 << 14])
def test_a_chain_is_created_whole_or_not_at_all(tmp_path: Path, room_bytes: int) -> None:
    """Neither empty nor with half of its tables, for whoever reads it meanwhile."""
    path = tmp_path / "chain.sqlite"
    assert open_cramped(path, room_bytes).startswith("sqlite3.OperationalError")
    assert not path.exists()
    ChainStore(path).close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_block_that_cannot_be_stored_leaves_the_chain_as_it_was(
    ledger: LedgerStateMachine,
) -> None:
    grow(ledger, 1)
    ledger.chain.commit()
    kept = ledger.chain.headers(0, 10)
    ledger.chain._connection.execute("DROP TABLE entries")
    with pytest.raises(sqlite3.Error):
        ledger.chain.append(head(ledger), [])
    assert ledger.chain.headers(0, 10) == kept


def test_absent_rows_are_not_found(ledger: LedgerStateMachine) -> None:
    assert ledger.chain.header(1) is None
    assert ledger.chain.entries_of_block(1) == []
    assert ledger.chain.entry(entry(1).event_id) is None
    assert ledger.chain.stream_end_at(1) == 0


# the map


def values_of(ledger: LedgerStateMachine) -> dict[str, bytes | None]:
    return {str(UUID(int=at)): ledger.chain.map.find(str(UUID(int=at)))[0] for at in range(4)}


def test_the_map_has_all_entries_of_each_booking_in_order(ledger: LedgerStateMachine) -> None:
    grow(ledger, 1, 2, 4)
    grow(ledger, 3, 7)
    leaves = {
        index: merkle_log.leaf_hash(entry(n).encode()) for index, n in ((0, 1), (2, 4), (4, 7))
    }
    expected = subjects.value_of(sorted(leaves.items()))
    booking = entry(1).booking_id
    value, proof = ledger.chain.map.find(booking)
    assert value == expected
    root = merkle_map.root_from(subjects.key_of(booking), value, proof)
    assert root == head(ledger).map_root
    nobody = str(UUID(int=99))
    value, proof = ledger.chain.map.find(nobody)
    assert value is None
    assert merkle_map.root_from(subjects.key_of(nobody), None, proof) == root


def test_a_map_that_was_not_written_back_catches_up(ledger: LedgerStateMachine) -> None:
    grow(ledger, 1, 2, 3)
    ledger.chain.sync()
    grow(ledger, 4, 8)
    grow(ledger, 6)
    assert ledger.chain.map.height == 1
    ledger.chain.commit()
    again = LedgerStateMachine(founders(), ChainStore(ledger.chain.path))
    assert again.chain.map.height == 3
    assert again.chain.map.root == head(ledger).map_root
    assert values_of(again) == values_of(ledger)
    again.chain.close()


def test_a_map_is_written_back_when_much_of_it_has_changed(
    ledger: LedgerStateMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject_map, "NODES_CHANGED_MAX", 1)
    monkeypatch.setattr(subject_map, "DEPTH_CACHED_MAX", -1)  # nothing stays in memory
    operations = [entry(number, booking=number).encode() for number in range(60)]
    for height in range(1, 4):
        part = tuple(operations[20 * height - 20 : 20 * height])
        ledger.apply(height, START + height, [Request("ledger", 1, part)])
    assert ledger.chain.map.height == 3
    for number in range(60):
        value, proof = ledger.chain.map.find(entry(number, booking=number).booking_id)
        assert value is not None
        key = subjects.key_of(entry(number, booking=number).booking_id)
        assert merkle_map.root_from(key, value, proof) == head(ledger).map_root


@pytest.mark.parametrize("harm", ["DELETE FROM map WHERE place <> ''", "UPDATE map SET node = '?'"])
def test_a_damaged_map_is_a_damaged_chain(ledger: LedgerStateMachine, harm: str) -> None:
    operations = tuple(entry(number, booking=number).encode() for number in range(60))
    ledger.apply(1, START + 1, [Request("ledger", 1, operations)])
    ledger.chain.sync()
    connection = sqlite3.connect(ledger.chain.path)
    connection.execute(harm)
    connection.commit()
    connection.close()
    with pytest.raises(sqlite3.DatabaseError, match="map"):
        _grow_again(ledger.chain.path)


def _grow_again(path: Path) -> None:
    again = LedgerStateMachine(founders(), ChainStore(path))
    more = tuple(entry(number, booking=number - 60).encode() for number in range(60, 120))
    again.apply(2, START + 2, [Request("ledger", 1, more)])


def test_a_chain_whose_map_is_another_blocks_is_damaged(ledger: LedgerStateMachine) -> None:
    grow(ledger, 1)
    ledger.chain.sync()
    grow(ledger, 2)
    ledger.chain.commit()
    connection = sqlite3.connect(ledger.chain.path)
    connection.execute("UPDATE map_height SET height = 2")
    connection.commit()
    connection.close()
    with pytest.raises(sqlite3.DatabaseError, match="not that of the last block"):
        ChainStore(ledger.chain.path)


def test_a_chain_of_an_older_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE blocks (height INTEGER PRIMARY KEY, header BLOB)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(OldFormat, match=r"another version of CineSync .* nothing was changed"):
        ChainStore(path)
    with pytest.raises(OldFormat, match=path.name):
        check_file(path)
    assert path.read_bytes() == before
    assert not (tmp_path / "chain.sqlite.damaged").exists()


@pytest.mark.usefixtures("small_chunks")
def test_chunks_hashed_as_they_grow_are_those_of_the_stream(ledger: LedgerStateMachine) -> None:
    def read_again(made: ChainStore) -> list[bytes]:
        end = made.stream_end
        starts = range(0, end, 1000)
        return [merkle_log.leaf_hash(made.stream(at, min(at + 1000, end))) for at in starts]

    for number in range(9):
        grow(ledger, number)
        ledger.chain.commit()
        hashes = ledger.chain.chunk_hashes(ledger.chain.stream_end)
        assert hashes == read_again(ledger.chain)
        opened = ChainStore(ledger.chain.path)
        assert opened.chunk_hashes(opened.stream_end) == hashes
        opened.close()
    ledger.chain.truncate(4)
    grow(ledger, 99)
    assert ledger.chain.chunk_hashes(ledger.chain.stream_end) == read_again(ledger.chain)


def test_a_header_is_canonical_json(ledger: LedgerStateMachine) -> None:
    grow(ledger, 1, 2)
    assert head(ledger).encoded == canonical_json.dump(head(ledger).to_json())


def test_an_altered_map_makes_a_header_that_nobody_else_has(
    ledger: LedgerStateMachine, other: LedgerStateMachine
) -> None:
    """As with any other part of a header: the quorum's signatures are not over this one."""
    for one in (ledger, other):
        grow(one, 1, 2, 3)
        one.chain.sync()
    made = ledger.chain.map.find(entry(1).booking_id)[0]
    other.chain.map.replace({entry(1).booking_id: bytes(32)})
    assert made != bytes(32)
    for one in (ledger, other):
        grow(one, 4)
    assert head(ledger).root == head(other).root
    assert head(ledger).map_root != head(other).map_root
    assert head(ledger).hash != head(other).hash


def test_a_state_whose_map_does_not_match_its_header_is_refused(
    ledger: LedgerStateMachine, other: LedgerStateMachine
) -> None:
    ledger.chain.map.replace({entry(5).booking_id: bytes([1] * 32)})
    grow(ledger, 1, 2, 3)
    snapshot = ledger.snapshot(1)
    data = ledger.chunk(1, 0)
    assert data is not None
    assert other.receive(1, snapshot.manifest, 0, data)
    assert not other.restore(1, snapshot.manifest)
