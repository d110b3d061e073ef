"""The audit: whatever is altered on a disk is named."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cinesync.proofs import canonical_json, genesis, merkle_log
from cinesync.validator import provisioning
from cinesync.validator.inspection import inspect
from cinesync.validator.state_machine import LedgerStateMachine
from cinesync.validator.storage.chain_store import ChainStore
from tests.support.ledger_chains import START, entry
from tests.unit.validator.test_chain_store import request

MAPPED = 5  # where the map was last written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four replicas of one chain; the last is a block behind."""
    made = tmp_path / "ledger"
    start = provisioning.init(made, ["127.0.0.1:1"] * 4)
    for replica in range(4):
        path = provisioning.validator_home(made, replica) / provisioning.CHAIN_FILE
        ledger = LedgerStateMachine(start, ChainStore(path))
        for height in range(1, 8 if replica < 3 else 7):
            ledger.apply(height, START * 2 + height, [request(3 * height, 3 * height + 1)])
            if height == MAPPED:
                ledger.chain.sync()
        ledger.chain.close()
    return made


def change(folder: Path, statement: str, *values: Any, replica: int = 2) -> None:
    path = provisioning.validator_home(folder, replica) / provisioning.CHAIN_FILE
    connection = sqlite3.connect(path)
    assert connection.execute(statement, values).rowcount != 0
    connection.commit()
    connection.close()


def test_an_intact_ledger_has_no_findings(folder: Path) -> None:
    report = inspect.audit(folder)
    assert report.findings == []
    assert [len(replica.blocks) for replica in report.replicas] == [7, 7, 7, 6]
    assert [replica.entry_count for replica in report.replicas] == [14, 14, 14, 12]


def test_a_ledger_that_changed_its_validators_before_its_first_entry_is_sound(
    tmp_path: Path,
) -> None:
    """Its blocks are all empty."""
    start = provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    for replica in range(4):
        path = provisioning.validator_home(tmp_path, replica) / provisioning.CHAIN_FILE
        ledger = LedgerStateMachine(start, ChainStore(path))
        for height in range(1, 4):
            ledger.apply(height, START * 2 + height, [])
        ledger.snapshot(3)
        ledger.chain.close()
    report = inspect.audit(tmp_path)
    assert (report.findings, len(report.replicas[0].blocks)) == ([], 3)


Harm = Callable[[Path], None]
FORGED = entry(99).encode()


def _forge(folder: Path) -> None:
    """An entry exchanged with everything that a careless forger thinks of."""
    change(
        folder,
        "UPDATE entries SET data = ?, event_id = ? WHERE idx = 5",
        FORGED,
        entry(99).event_id,
    )
    change(
        folder,
        "UPDATE nodes SET hash = ? WHERE level = 0 AND idx = 5",
        merkle_log.leaf_hash(FORGED),
    )


def _name_another_set(folder: Path) -> None:
    """In the newest block, which no other block's hash covers."""
    path = provisioning.validator_home(folder, 2) / provisioning.CHAIN_FILE
    with closing(sqlite3.connect(path)) as connection:
        statement = "SELECT header FROM blocks WHERE height = 7"
        (raw,) = connection.execute(statement).fetchone()
    header = canonical_json.load(bytes(raw)) | {"validators": "00" * 32}
    change(folder, "UPDATE blocks SET header = ? WHERE height = 7", canonical_json.dump(header))


HARMS: list[tuple[Harm, str]] = [
    (lambda f: change(f, "UPDATE entries SET data = ? WHERE idx = 5", FORGED), "entry 5 "),
    (lambda f: change(f, "UPDATE entries SET data = x'00' WHERE idx = 0"), "entry 0 "),
    (lambda f: change(f, "UPDATE entries SET data = CAST(data AS TEXT) WHERE idx = 2"), "entry 2 "),
    (lambda f: change(f, "DELETE FROM entries WHERE idx = 5"), "entry 5 of block 3 is missing"),
    (lambda f: change(f, "DELETE FROM entries WHERE idx = 13"), "entry 13 of block 7 is missing"),
    (
        lambda f: change(f, "UPDATE entries SET event_id = 'x' WHERE idx = 5"),
        "entry 5: its columns",
    ),
    (lambda f: change(f, "UPDATE entries SET booking_id = 'x' WHERE idx = 5"), "entry 5: its col"),
    (lambda f: change(f, "UPDATE entries SET height = 2 WHERE idx = 5"), "entry 5: its columns"),
    (lambda f: change(f, "UPDATE nodes SET hash = x'00' WHERE level = 2 AND idx = 1"), "entry 7 "),
    (lambda f: change(f, "DELETE FROM nodes WHERE level = 1 AND idx = 1"), "entry 3 "),
    (lambda f: change(f, "INSERT INTO nodes VALUES (9, 9, x'00')"), "the number of nodes"),
    (_forge, "entry 5 "),
    (lambda f: change(f, "UPDATE blocks SET header = x'7b7d' WHERE height = 4"), "block 4: header"),
    (lambda f: change(f, "UPDATE blocks SET first = 7 WHERE height = 4"), "block 4: its first"),
    (
        lambda f: change(f, "UPDATE blocks SET stream_end = 7 WHERE height = 4"),
        "block 4: its place",
    ),
    (lambda f: change(f, "UPDATE map SET node = x'90' WHERE place = ''"), "node at the root of"),
    (lambda f: change(f, "DELETE FROM map WHERE place = ''"), "node at the root of the map"),
    (lambda f: change(f, "INSERT INTO map VALUES ('a7', x'90')"), "node a7 of the map"),
    (lambda f: change(f, "UPDATE map_height SET height = 4"), "node at the root of the map"),
    (lambda f: change(f, "UPDATE map_height SET height = 8"), "the map is of height 8"),
    (lambda f: change(f, "DELETE FROM map_height"), "node at the root of the map"),
    (
        lambda f: change(
            f,
            'UPDATE blocks SET header = CAST(replace(CAST(header AS TEXT), \'"map_root":"\','
            ' \'"map_root":"0\') AS BLOB) WHERE height = 4',
        ),
        "block 4: header.map_root",
    ),
    (lambda f: change(f, "DELETE FROM blocks WHERE height = 4"), "after block 3: the height"),
    (lambda f: change(f, "DELETE FROM blocks WHERE height = 7"), "entry 12 is in no block"),
    (
        lambda f: change(
            f,
            "UPDATE blocks SET header = CAST(replace(CAST(header AS TEXT), '\"size\":8',"
            " '\"size\":7') AS BLOB) WHERE height = 4",
        ),
        "block 4: an entry, or header.entries_root",
    ),
    (
        lambda f: change(
            f,
            "UPDATE blocks SET header = CAST(replace(CAST(header AS TEXT), '\"time\":34',"
            " '\"time\":35') AS BLOB) WHERE height = 4",
        ),
        "block 5: header.previous, or the block below",
    ),
    (_name_another_set, "block 7: header.validators is not the set in force"),
]


@pytest.mark.parametrize(("harm", "named"), HARMS, ids=map(str, count()))
def test_what_was_altered_first_is_named(folder: Path, harm: Harm, named: str) -> None:
    harm(folder)
    report = inspect.audit(folder)
    assert report.findings[0].startswith(f"replica 2: {named}")
    assert [replica.altered is None for replica in report.replicas] == [True, True, False, True]


def test_every_byte_of_every_entry_counts(folder: Path) -> None:
    data = entry(6).encode()  # the third entry
    for at in range(0, len(data), 11):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        change(folder, "UPDATE entries SET data = ? WHERE idx = 2", altered)
        assert inspect.audit(folder).findings[0].startswith("replica 2: entry 2 ")


def test_a_replica_that_was_rewritten_throughout_is_not_like_the_others(folder: Path) -> None:
    path = provisioning.validator_home(folder, 1) / provisioning.CHAIN_FILE
    path.unlink()
    ledger = LedgerStateMachine(
        genesis.load((folder / provisioning.GENESIS_FILE).read_bytes()), ChainStore(path)
    )
    for height in range(1, 8):
        ledger.apply(height, START * 2 + height, [request(3 * height, 3 * height + height // 3)])
    ledger.chain.close()
    report = inspect.audit(folder)
    assert report.findings == ["replica 1: block 1 is not what the others have"]


def test_a_missing_or_invalid_file_is_a_finding(folder: Path) -> None:
    provisioning.validator_home(folder, 0).joinpath(provisioning.CHAIN_FILE).unlink()
    provisioning.validator_home(folder, 1).joinpath(provisioning.CHAIN_FILE).write_bytes(
        b"?" * 9000
    )
    found = inspect.audit(folder).findings
    assert found[0].startswith("replica 0: cannot be read after block 0: there is no file")
    assert found[1].startswith("replica 1: cannot be read after block 0: ")
