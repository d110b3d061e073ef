"""Fraud: when more wrong than may, two receipts prove it to anyone."""

from pathlib import Path

import pytest

from cinesync.cli import proof_files
from cinesync.proofs import canonical_json, fraud
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.receipts import Receipt
from cinesync.proofs.strict_json import InvalidDocument
from tests.support.ledger_chains import START, MemoryChain, entry, founders


def forked(mine: int, theirs: int, *, alike: int = 1) -> tuple[Receipt, Receipt]:
    """Two histories of one chain after some blocks alike; all who signed both are liars."""
    made = MemoryChain(), MemoryChain()
    for one in made:
        for number in range(alike):
            one.grow(entry(number))
    for number in range(mine):
        made[0].grow(entry(100 + number))
    for number in range(theirs):
        made[1].grow(entry(200 + number))
    return made[0].receipt(0, (0, 1, 2)), made[1].receipt(0, (1, 2, 3))


def test_two_roots_at_one_size_prove_who_signed_both() -> None:
    found = fraud.find(*forked(2, 2))
    assert found is not None
    assert found.what == "two logs of 3 entries with different roots"
    assert found.signers_of_both == {1, 2}


def test_two_blocks_at_one_height_are_fraud() -> None:
    made = MemoryChain(), MemoryChain()
    made[0].grow(entry(1))
    made[1].grow(entry(1), entry(2))
    found = fraud.find(made[0].receipt(0), made[1].receipt(0))
    assert found is not None
    assert found.what == "two blocks at height 1"
    assert len(found.signers_of_both) == 3


def test_a_block_that_does_not_follow_the_one_below_is_fraud() -> None:
    found = fraud.find(*forked(1, 2))
    assert found is not None
    assert found.what == "block 3 does not follow block 2"


def test_a_log_that_shrinks_is_fraud() -> None:
    made = MemoryChain(), MemoryChain()
    made[0].grow(*(entry(number) for number in range(9)))
    for number in range(3):
        made[1].grow(entry(number))
    found = fraud.find(made[0].receipt(0), made[1].receipt(0))
    assert found is not None
    assert found.what == "the log shrank from 9 to 3 entries"


def test_two_receipts_of_one_history_are_no_fraud() -> None:
    made = MemoryChain()
    made.grow(entry(1))
    early = made.receipt(0)
    for number in range(2, 5):
        made.grow(entry(number))
        assert fraud.find(early, made.receipt(0)) is None
        assert fraud.find(made.receipt(0), early) is None
    assert fraud.find(early, early) is None


def test_two_chains_cannot_contradict_each_other() -> None:
    here, there = MemoryChain(), MemoryChain(Genesis("other", START, founders().configuration))
    here.grow(entry(1))
    there.grow(entry(2))
    assert fraud.find(here.receipt(0), there.receipt(0)) is None


def test_a_proof_of_fraud_is_a_file_that_verifies(tmp_path: Path) -> None:
    one, other = forked(2, 2)
    files = [tmp_path / "one.json", tmp_path / "other.json", tmp_path / "fraud.json"]
    files[0].write_bytes(one.encode())
    files[1].write_bytes(other.encode())
    found = proof_files.compare_files(files[0], files[1])
    assert found is not None
    files[2].write_bytes(found.encode())
    verdict = proof_files.verify_file(files[2])
    assert verdict.fraud is not None
    assert verdict.text == (
        "FRAUD: two logs of 3 entries with different roots; validators 1, 2 signed both"
    )


def test_consistent_receipts_are_no_fraud(tmp_path: Path) -> None:
    made = MemoryChain()
    made.grow(entry(1))
    one = made.receipt(0).to_json()
    file = tmp_path / "fraud.json"
    accusation = {"format": fraud.FORMAT, "one": one, "other": one}
    file.write_bytes(canonical_json.dump(accusation))
    with pytest.raises(InvalidDocument, match="do not contradict"):
        proof_files.verify_file(file)
    accusation["other"] = one | {"header": one["header"] | {"root": "00" * 32}}
    file.write_bytes(canonical_json.dump(accusation))
    with pytest.raises(InvalidDocument, match=r"fraud.other.certificate.signatures\[0\]"):
        proof_files.verify_file(file)
