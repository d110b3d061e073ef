"""Receipts: good for ever, and good for nothing when a single byte is not as it was."""

import hashlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cinesync.cli import proof_files
from cinesync.cli.proof_files import UnreadableFile
from cinesync.proofs import canonical_json, genesis, keys, merkle_log, receipts
from cinesync.proofs.receipts import HeaderCertificate, Receipt
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.proofs.tlog_proof import tlog_proof
from tests.support.ledger_chains import START, MemoryChain, chain, entry, founders, replaced

pytestmark = pytest.mark.slow

GOOD = chain().receipt(4)
DATA = GOOD.encode()


@pytest.mark.parametrize("index", range(11))
def test_every_entry_has_a_receipt_that_verifies(index: int) -> None:
    receipt = chain().receipt(index)
    assert receipts.verify(receipt.encode(), receipt.genesis).entry == entry(index)


def test_a_surplus_signature_is_accepted_if_it_is_valid() -> None:
    receipt = chain().receipt(0, signers=(0, 1, 2, 3))
    assert len(receipts.verify(receipt.encode()).certificate.signatures) == 4


def test_a_receipt_goes_on_verifying_while_the_chain_grows() -> None:
    growing = chain()
    old = growing.receipt(3).encode()
    for number in range(20, 30):
        growing.grow(entry(number))
        receipts.verify(old, growing.genesis)
        receipts.verify(growing.receipt(3).encode(), growing.genesis)


def test_an_altered_byte_anywhere_is_refused() -> None:
    """Three alterations of each: a bit, a digit's neighbour, and gone."""
    for at in range(len(DATA)):
        for piece in (bytes([DATA[at] ^ 1]), bytes([DATA[at] ^ 0x20]), b""):
            altered = DATA[:at] + piece + DATA[at + 1 :]
            with pytest.raises(InvalidDocument) as refusal:
                receipts.verify(altered)
            assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("added", [b" ", b"\n", b"\x00", b"{}"])
def test_not_a_byte_may_be_added(added: bytes) -> None:
    for altered in (DATA + added, added + DATA):
        with pytest.raises(InvalidDocument):
            receipts.verify(altered)


ValueUpdate = Callable[[dict[str, Any]], Any]


def _upper_s(value: dict[str, Any]) -> None:
    """The other spelling of an ECDSA signature, which every library takes."""
    vote = value["certificate"]["signatures"][0]
    r, s = vote["signature"][:64], int(vote["signature"][64:], 16)
    vote["signature"] = r + f"{keys.ORDER - s:064x}"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r.update(format="cinesync-receipt/2"), "receipt.format: "),
        (lambda r: r.update(more=1), "receipt: member 'more' is unknown"),
        (lambda r: r.pop("path"), 'receipt: member "path" is missing'),
        (lambda r: r["header"].update(view=1), "receipt.header: member 'view' is unknown"),
        (lambda r: r["header"].update(format="x"), "receipt.header.format: "),
        (lambda r: r["header"].update(size=12), "receipt.certificate.signatures[0].signature: "),
        (lambda r: r["header"].update(height=-1), "receipt.header.height: "),
        (lambda r: r["header"].update(time=START - 1), "receipt.header.time: before"),
        (lambda r: r["header"].update(time=True), "receipt.header.time: not a whole"),
        (lambda r: r["header"].update(chain="00" * 32), "receipt.header.chain: "),
        (lambda r: r["header"].update(root="zz" * 32), "receipt.header.root: "),
        (lambda r: r["header"].update(root="AB" * 32), "receipt.header.root: "),
        (lambda r: r["header"].update(validators="00" * 32), "receipt.header.validators: "),
        (lambda r: r["certificate"].update(epoch=1), "receipt.certificate.epoch: "),
        (lambda r: r["certificate"]["signatures"].pop(), "receipt.certificate.signatures: 2 of"),
        (lambda r: r["certificate"]["signatures"].reverse(), "rising order"),
        (
            lambda r: r["certificate"]["signatures"].append(r["certificate"]["signatures"][2]),
            "rising order",
        ),
        (
            lambda r: r["certificate"]["signatures"].append({"replica": 3, "signature": "00" * 64}),
            "receipt.certificate.signatures[3].signature: not validator 3's",
        ),
        (
            lambda r: r["certificate"]["signatures"].append({"replica": 9, "signature": "00" * 64}),
            "receipt.certificate.signatures[3].replica: 9 is no validator",
        ),
        (_upper_s, "receipt.certificate.signatures[0].signature: "),
        (lambda r: r["entry"]["facts"].update(amount_cents=1), "receipt.entry: "),
        (
            lambda r: r["entry"].update(time="now"),
            "receipt.entry: Expected `int`, got `str` - at `$.time`",
        ),
        (lambda r: r["entry"].pop("format"), "receipt.entry: "),
        (lambda r: r.update(index=5), "receipt.entry: "),
        (lambda r: r.update(index=99), "receipt.index: there is no entry 99 in a log of 11"),
        (lambda r: r["path"].pop(), "receipt.path: the path is too short"),
        (lambda r: r["path"].append("00" * 32), "receipt.path: the path is too long"),
        (lambda r: r.update(path=["00" * 32] * 65), "receipt.path: not a list of at most 64"),
        (lambda r: r.update(links=["00"]), "receipt.links[0]: not a change"),
        (lambda r: r.update(links=["zz"]), "receipt.links[0]: not a change"),
        (lambda r: r.update(links=[7]), "receipt.links[0]: not a text"),
        (lambda r: r["genesis"].update(name="other"), "receipt.header.chain: "),
        (lambda r: r["genesis"].update(name="two\nlines"), "receipt.genesis.name: "),
        (lambda r: r["genesis"].update(format="x"), "receipt.genesis.format: "),
        (lambda r: r["genesis"]["validators"].pop(), "receipt.genesis.validators: fewer than 4"),
        (
            lambda r: r["genesis"]["validators"].append(r["genesis"]["validators"][0]),
            "receipt.genesis: somebody is named twice",
        ),
        (
            lambda r: r["genesis"]["clients"].append(
                {"name": "a", "public_key": "00" * 65, "operator": 1}
            ),
            "receipt.genesis.clients[0].operator: ",
        ),
        (lambda r: r.update(header=[]), "receipt.header: not an object"),
    ],
    ids=map(str, count()),
)
def test_a_refusal_says_what_and_where(change: ValueUpdate, where: str) -> None:
    value = GOOD.to_json()
    change(value)
    with pytest.raises(InvalidDocument) as refusal:
        receipts.verify(canonical_json.dump(value))
    assert where in str(refusal.value)


def test_signatures_of_the_wrong_keys_or_of_no_key_are_no_signatures() -> None:
    key = keys.generate()
    assert not keys.verify(b"\x04" + bytes(64), b"x", keys.sign(key, b"x"))
    assert not keys.verify(b"", b"x", keys.sign(key, b"x"))
    assert not keys.verify(keys.public_bytes(key), b"x", b"")
    assert not keys.verify(keys.public_bytes(key), b"x", bytes(64))
    assert not keys.verify(keys.public_bytes(key), b"y", keys.sign(key, b"x"))
    assert keys.verify(
        keys.public_bytes(key), b"x", keys.sign(keys.from_pem(keys.to_pem(key)), b"x")
    )


def test_signatures_are_the_same_every_time_and_in_the_lower_half() -> None:
    key = keys.generate()
    for number in range(20):
        payload = b"%d" % number
        assert keys.sign(key, payload) == keys.sign(key, payload)
        assert int.from_bytes(keys.sign(key, payload)[32:], "big") <= keys.ORDER // 2


def test_the_signed_bytes_can_be_built_by_hand() -> None:
    """As the page in the browser and `docs/ledger.md` do it: a domain, then MessagePack."""
    header = GOOD.header
    body = canonical_json.dump(header.to_json())
    digest = hashlib.sha256(b"cinesync/header/2\x00" + body).digest()
    assert header.height < 0x80
    for replica, signature in GOOD.certificate.signatures.items():
        words = b"\x96\xabattestation" + bytes([replica]) + b"\xc4\x00" + b"\x00"
        signed = b"cinesync/pbft/1\x00" + words + bytes([header.height]) + b"\xc4\x20" + digest
        key = GOOD.genesis.configuration.key(replica)
        assert key is not None
        assert keys.verify(key, signed, signature)


def test_another_chain_with_the_same_validators_is_not_this_one() -> None:
    other = genesis.Genesis("other", START, founders().configuration)
    with pytest.raises(InvalidDocument, match="another chain"):
        receipts.verify(DATA, other)


def test_a_path_of_the_right_length_to_another_entry_is_refused() -> None:
    made = chain()
    other = made.receipt(4)
    forged = replaced(other, entry=entry(5), index=4)
    with pytest.raises(InvalidDocument, match="do not lead to the signed root"):
        receipts.verify(forged.encode())


def test_a_receipt_is_bounded() -> None:
    with pytest.raises(InvalidDocument, match="larger than"):
        receipts.verify(b" " * (receipts.RECEIPT_BYTES_MAX + 1))


# validators that change


def reformed() -> MemoryChain:
    made = chain(4)
    made.elect((1, 2, 3, 4))
    made.grow(entry(100))
    return made


def test_receipts_follow_the_validators_from_set_to_set() -> None:
    made = reformed()
    receipt = made.receipt(4, signers=(2, 3, 4))
    assert receipts.verify(receipt.encode(), founders()).certificate.epoch == 1
    made.elect((4, 5, 6, 7), signers=(2, 3, 4))
    made.grow(entry(101))
    receipts.verify(made.receipt(5, signers=(5, 6, 7)).encode(), founders())


def test_a_former_validators_signature_does_not_count() -> None:
    made = reformed()
    with pytest.raises(InvalidDocument, match=r"signatures\[0\].replica: 0 is no validator"):
        receipts.verify(made.receipt(0, signers=(0, 1, 2)).encode())


def test_a_set_that_the_previous_one_did_not_sign_is_refused() -> None:
    made = chain(4)
    made.elect((4, 5, 6, 7), signers=(4, 5, 6))
    made.grow(entry(100))
    with pytest.raises(InvalidDocument, match=r"receipt.links\[0\]: not signed by a quorum"):
        receipts.verify(made.receipt(0, signers=(4, 5, 6)).encode())


def test_a_missing_or_repeated_link_is_refused() -> None:
    receipt = reformed().receipt(0, signers=(2, 3, 4))
    for links in ([], [*receipt.links, *receipt.links]):
        with pytest.raises(InvalidDocument):
            receipts.verify(replaced(receipt, links=links).encode())


def test_an_altered_byte_of_a_link_is_refused() -> None:
    value = reformed().receipt(0, signers=(2, 3, 4)).to_json()
    link = value["links"][0]
    for at in range(0, len(link), 7):
        digit = "0" if link[at] != "0" else "1"
        value["links"][0] = link[:at] + digit + link[at + 1 :]
        with pytest.raises(InvalidDocument, match=r"receipt\."):
            receipts.verify(canonical_json.dump(value))


# files


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_file_is_verified_against_a_pinned_genesis(tmp_path: Path) -> None:
    receipt = write(tmp_path / "receipt.json", DATA)
    pinned = write(tmp_path / "genesis.json", GOOD.genesis.encode())
    verdict = proof_files.verify_file(receipt, pinned)
    assert verdict.text.startswith("valid: payment.success ")
    assert "entry 4 of 11 at height 7" in verdict.text
    assert "pin yours" not in verdict.text
    assert "pin yours" in proof_files.verify_file(receipt).text


def test_a_file_that_cannot_be_read_is_not_called_invalid(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"):
        proof_files.verify_file(tmp_path / "none")
    with pytest.raises(UnreadableFile, match="Is a directory"):
        proof_files.verify_file(tmp_path)


@pytest.mark.parametrize("data", [b"", b"not json", b"[]", b"x" * 3_000_000, b"\xff"])
def test_a_file_that_is_not_a_receipt_is_invalid(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidDocument):
        proof_files.verify_file(write(tmp_path / "file", data))


@pytest.mark.parametrize("data", [b"{}", b"no", b'{"format":"cinesync-genesis/1"}'])
def test_a_file_that_is_not_a_genesis_is_invalid(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidDocument, match="genesis"):
        proof_files.load_genesis(write(tmp_path / "genesis", data))


# for other tools


def test_a_receipt_goes_out_as_a_transparency_log_proof() -> None:
    """C2SP tlog-proof: header, index, path, blank line, signed note."""
    proof, note = tlog_proof(GOOD).split("\n\n", 1)
    first, index, *path = proof.splitlines()
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 4")
    assert len(path) == len(GOOD.path)
    body, signatures = note.split("\n\n")
    origin, size, root, _header = body.splitlines()
    assert origin == f"cinesync/{GOOD.genesis.chain.hex()}"
    assert size == "11"
    assert len(root) == 44
    assert [line[:2] for line in signatures.splitlines()] == ["— "] * 3
    assert note.endswith("\n")


def test_a_certificate_without_signatures_proves_nothing() -> None:
    forged: Receipt = replaced(GOOD, certificate=HeaderCertificate(0, {}))
    with pytest.raises(InvalidDocument, match="0 of the 3"):
        receipts.verify(forged.encode())


def test_an_empty_log_has_a_root() -> None:
    made = MemoryChain()
    assert made.grow().root == merkle_log.EMPTY
