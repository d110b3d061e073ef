"""All entries of a booking: nothing left out, added, exchanged or altered goes unnoticed."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from cinesync.cli import proof_files
from cinesync.cli.ledger import verify_command
from cinesync.proofs import canonical_json, completeness, fraud
from cinesync.proofs.completeness import CompletenessProof, IndexedEntry
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.strict_json import InvalidDocument
from tests.support.ledger_chains import MemoryChain, chain, entry, founders
from tests.unit.proofs.test_receipts import reformed

pytestmark = pytest.mark.slow

BOOKING = entry(1).booking_id
NOBODY = str(UUID(int=99))
CHAIN = chain()
GOOD = CHAIN.completeness(BOOKING)
DATA = GOOD.encode()
ABSENT = CHAIN.completeness(NOBODY)
ValueUpdate = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("booking", [entry(at).booking_id for at in range(3)])
def test_all_entries_of_a_booking_verify(booking: str) -> None:
    found = completeness.verify(CHAIN.completeness(booking).encode(), CHAIN.genesis)
    expected = [at for at, one in enumerate(CHAIN.entries) if one.booking_id == booking]
    assert [one.index for one in found.entries] == expected
    assert [one.entry for one in found.entries] == [CHAIN.entries[at] for at in expected]


def test_that_a_booking_has_no_entry_verifies_too() -> None:
    assert completeness.verify(ABSENT.encode(), CHAIN.genesis).entries == []
    empty = MemoryChain()
    empty.grow()
    assert completeness.verify(empty.completeness(NOBODY).encode()).entries == []


def test_in_a_map_of_many_bookings_all_and_nothing_can_be_proved() -> None:
    made = MemoryChain()
    made.grow(*(entry(number, booking=number // 2) for number in range(400)))
    for booking in range(0, 260, 7):
        found = completeness.verify(made.completeness(str(UUID(int=booking))).encode())
        assert len(found.entries) == (2 if booking < 200 else 0)


def test_the_validators_may_have_changed_since() -> None:
    found = reformed().completeness(BOOKING, signers=(2, 3, 4))
    assert completeness.verify(found.encode(), founders()).certificate.epoch == 1


def forged(entries: Sequence[IndexedEntry], **changes: Any) -> bytes:
    fields = {name: getattr(GOOD, name) for name in CompletenessProof.__dataclass_fields__}
    return CompletenessProof(**{**fields, "entries": entries, **changes}).encode()


ALL = GOOD.entries
LIES = {
    "the last is left out": ALL[:-1],
    "the first is left out": ALL[1:],
    "one in the middle is left out": [*ALL[:1], *ALL[2:]],
    "all are left out": [],
    "one more": [*ALL[:2], IndexedEntry(5, entry(99, booking=1)), *ALL[2:]],
    "another instead": [*ALL[:-1], IndexedEntry(ALL[-1].index, entry(99, booking=1))],
    "at another place in the log": [*ALL[:-1], IndexedEntry(ALL[-1].index - 1, ALL[-1].entry)],
    "two exchanged": [
        IndexedEntry(ALL[0].index, ALL[1].entry),
        IndexedEntry(ALL[1].index, ALL[0].entry),
        *ALL[2:],
    ],
}


@pytest.mark.parametrize("entries", LIES.values(), ids=LIES)
def test_a_list_that_is_not_the_list_is_refused(entries: Sequence[IndexedEntry]) -> None:
    with pytest.raises(InvalidDocument, match=r"completeness.entries: not all, or not only"):
        completeness.verify(forged(entries), CHAIN.genesis)


def test_with_a_map_that_nobody_signed_everything_could_be_claimed() -> None:
    """The control: what refuses the wrong_answers above is the signed root alone."""
    smaller = MemoryChain(genesis=CHAIN.genesis)
    smaller.grow(*(one for at, one in enumerate(CHAIN.entries) if at != ALL[-1].index))
    wrong = forged(smaller.completeness(BOOKING).entries, proof=smaller.completeness(BOOKING).proof)
    with pytest.raises(InvalidDocument, match="not all, or not only"):
        completeness.verify(wrong)
    header = GOOD.header
    values = {name: getattr(header, name) for name in BlockHeader.__dataclass_fields__}
    unsigned = BlockHeader(**values | {"map_root": smaller.blocks[-1].map_root})
    with pytest.raises(InvalidDocument, match=r"certificate.signatures\[0\].signature"):
        completeness.verify(forged(ALL, header=unsigned))


def altered(change: ValueUpdate, data: bytes = DATA) -> bytes:
    value = canonical_json.load(data)
    change(value)
    return canonical_json.dump(value)


ZEROS = {"key": "00" * 32, "value": "00" * 32}
REFUSALS: list[tuple[ValueUpdate, str]] = [
    (lambda v: v.update(format="cinesync-receipt/1"), "completeness.format: not cinesync-comp"),
    (lambda v: v.update(more=1), "completeness: member 'more' is unknown"),
    (lambda v: v.pop("other"), 'completeness: member "other" is missing'),
    (lambda v: v.update(booking_id=NOBODY), "completeness.entries[0].entry.booking_id: another"),
    (lambda v: v.update(booking_id=BOOKING.upper() + "A"), "completeness.booking_id: not a UUID"),
    (lambda v: v.update(booking_id=7), "completeness.booking_id: not a UUID"),
    (lambda v: v.update(entries={}), "completeness.entries: not a list of at most 4096"),
    (lambda v: v["entries"].reverse(), "completeness.entries[1].index: not in the order"),
    (lambda v: v["entries"].append(v["entries"][-1]), "completeness.entries[4].index: not in"),
    (lambda v: v["entries"][-1].update(index=11), "completeness.entries[3].index: not in a log"),
    (lambda v: v["entries"][0].update(index=-1), "completeness.entries[0].index: not a whole"),
    (lambda v: v["entries"][0].update(height=1), "completeness.entries[0]: member 'height'"),
    (lambda v: v["entries"][0]["entry"].pop("kind"), "completeness.entries[0].entry: "),
    (lambda v: v["entries"][0]["entry"].update(time=1), "completeness.entries: not all, or not"),
    (lambda v: v.update(path=[]), "completeness.path: the path is too short"),
    (lambda v: v.update(path=v["path"] * 65), "completeness.path: not a list of at most 64"),
    (lambda v: v["path"].append(v["path"][0]), "completeness.entries: not all, or not only"),
    (lambda v: v["path"][0].pop(), "completeness.path[0]: not 15 hashes"),
    (lambda v: v["path"][0].append(None), "completeness.path[0]: not a list of at most 15"),
    (lambda v: v["path"].__setitem__(0, 7), "completeness.path[0]: not a list"),
    (lambda v: v["path"][0].__setitem__(3, "00" * 32), "completeness.path[0][3]: an empty place"),
    (lambda v: v["path"][0].__setitem__(3, "AA" * 32), "completeness.path[0][3]: not 64 lower"),
    (lambda v: v["path"][0].__setitem__(3, "ab"), "completeness.path[0][3]: not 64 hexadecimal"),
    (lambda v: v.update(other=ZEROS), "completeness.path: another"),
    (lambda v: v.update(other=7), "completeness.other: not an object"),
    (lambda v: v.update(other={"key": "00", "value": ""}), "completeness.other.key: not 64"),
    (lambda v: v["header"].update(map_root="00" * 32), "completeness.certificate.signatures[0]"),
    (lambda v: v["certificate"]["signatures"].pop(), "completeness.certificate.signatures: 2 of"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), REFUSALS, ids=map(str, count()))
def test_a_refusal_says_what_and_where(change: ValueUpdate, said: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        completeness.verify(altered(change))
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


ABSENCES: list[tuple[ValueUpdate, str]] = [
    (lambda v: v.update(booking_id=BOOKING), "completeness.entries: not all, or not only"),
    (lambda v: v["entries"].append({"index": 1, "entry": entry(9, booking=99).to_json()}), "comp"),
    (lambda v: v.update(other={"key": "ab" * 32, "value": "00" * 32}), "completeness"),
]


@pytest.mark.parametrize(("change", "said"), ABSENCES, ids=map(str, count()))
def test_absence_cannot_be_claimed_of_what_is_there(change: ValueUpdate, said: str) -> None:
    with pytest.raises(InvalidDocument, match=said):
        completeness.verify(altered(change, ABSENT.encode()))


@pytest.mark.parametrize("data", [DATA, ABSENT.encode()], ids=["present", "absent"])
def test_every_byte_counts(data: bytes) -> None:
    for at in range(0, len(data), 7):
        for bit in (1, 0x20):
            changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            if not _names_another_that_is_absent(changed):
                with pytest.raises(InvalidDocument):
                    completeness.verify(changed, CHAIN.genesis)


def _names_another_that_is_absent(data: bytes) -> bool:
    """Which is as true, and may have the same proof."""
    return ABSENT.encode()[:53] + data[53:] == ABSENT.encode()


def test_another_chain_than_the_pinned_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="not the pinned genesis"):
        completeness.verify(DATA, chain(1).genesis.__class__("others", 1, CHAIN.configuration))


# the command


def judge(folder: Path, *files: bytes) -> tuple[int, str]:
    paths = []
    for at, data in enumerate(files):
        path = folder / f"{at}.json"
        path.write_bytes(data)
        paths.append(str(path))
    (folder / "genesis.json").write_bytes(CHAIN.genesis.encode())
    pin = ["--genesis", str(folder / "genesis.json")]
    result = CliRunner().invoke(verify_command, [*paths, *pin])
    return result.exit_code, result.output


def test_the_command_verifies_all_entries_of_a_booking(tmp_path: Path) -> None:
    code, said = judge(tmp_path, DATA)
    assert (code, said.count("\n")) == (0, 1)
    assert said.startswith(f"valid: booking {BOOKING} has exactly 4 entries (1, 4, 7, 10) in")
    code, said = judge(tmp_path, ABSENT.encode())
    assert (code, said.count("\n")) == (0, 1)
    assert said.startswith(f"valid: booking {NOBODY} has no entry in the log of 11 at height 7")
    assert judge(tmp_path, forged(ALL[:-1])) == (
        1,
        "not valid: completeness.entries: not all, or not only, what the signed map has\n",
    )
    assert judge(tmp_path, DATA[:-9])[0] == 1


def test_two_maps_at_one_height_prove_who_signed_both(tmp_path: Path) -> None:
    """Shown to one asker without an entry and to another with it, and both times signed."""
    here, there = MemoryChain(), MemoryChain()
    for made in (here, there):
        made.grow(entry(1))
    here.grow(entry(2))
    there.grow(entry(5))
    booking = entry(2).booking_id
    one, other = here.completeness(booking), there.completeness(booking, (1, 2, 3))
    found = fraud.find(one, other)
    assert found is not None
    assert found.signers_of_both == {1, 2}
    path = tmp_path / "fraud.json"
    path.write_bytes(found.encode())
    verdict = proof_files.verify_file(path)
    assert verdict.fraud is not None
    assert verdict.text.startswith("FRAUD: two logs of 2 entries with different roots")
    mixed = fraud.find(one, there.receipt(0, (1, 2, 3)))
    assert mixed is not None
    assert fraud.from_json(canonical_json.load(mixed.encode())).signers_of_both == {1, 2}
