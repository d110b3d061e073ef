"""Receipts and proofs, valid, altered and forged, with what the Python code says about each."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec

from cinesync.pbft.messages import Configuration
from cinesync.proofs import canonical_json, completeness, fraud, receipts, verify
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.receipts import Receipt
from cinesync.proofs.strict_json import InvalidDocument
from tests.support.ledger_chains import MemoryChain, chain, entry, founders
from tests.unit.proofs import test_completeness, test_receipts
from tests.unit.proofs.test_fraud import forked
from tests.unit.proofs.test_receipts import DATA, GOOD, reformed

BYTE_STEP = 5  # every fifth byte: half a second instead of three
FACTS = (
    b'"a":1.5', b'"a":1.0', b'"a":-0', b'"a":1e2', b'"a":NaN', b'"a":9007199254740993',
    b'"a":"\\ud800"', b'"a":"\\u00e9"', b'"__proto__":1', b'"A":1', b'"a":{}', b'"a":[1]',
    b'"a":' + b"[" * 40 + b"]" * 40, b'"a":1,"a":1',
)  # fmt: skip
ODD_ENTRIES: Sequence[dict[str, Any]] = (
    {"facts": {"a": {}}}, {"facts": {"a": [1]}}, {"facts": {"A": 1}}, {"facts": {"__proto__": 1}},
    {"commitments": {"customer_id": "00"}}, {"kind": "Payment"}, {"time": -1},
    {"event_id": "0" * 32},
)  # fmt: skip

Vector = dict[str, Any]


def vectors() -> dict[str, list[Vector]]:
    """For `verify.test.js`."""
    files = [
        *_valid(), *_altered_receipts(), *_spellings(), *_links(), *_odd_entries(),
        *_other_chains(), *_completeness(), *_altered_completeness(),
    ]  # fmt: skip
    return {"files": files, "verdicts": list(_verdicts())}


def _vector(
    group: str, data: bytes, *, pinned: Genesis | None = None, is_completeness: bool = False
) -> Vector:
    try:
        (completeness if is_completeness else receipts).verify(data, pinned)
        refusal = None
    except InvalidDocument as invalid:
        refusal = str(invalid)
    place = refusal and refusal.split(": ")[0]
    # The shape of an entry, and a text that is no JSON, each side explains in its own words.
    is_own_words = place in {"receipt", "completeness"} or str(place).endswith(".entry")
    return {
        "group": group,
        "kind": "completeness" if is_completeness else "receipt",
        "file": base64.b64encode(data).decode(),
        "pinned": pinned and base64.b64encode(pinned.encode()).decode(),
        "refusal": refusal,
        "compare": "place" if is_own_words else "words",
    }


def _valid() -> Iterator[Vector]:
    made = chain()
    for index in range(11):
        yield _vector("valid receipts", made.receipt(index).encode(), pinned=made.genesis)
    four = made.receipt(0, signers=(0, 1, 2, 3))
    yield _vector("valid receipts", four.encode(), pinned=made.genesis)
    changed = reformed()
    yield _vector("after a change of validators", changed.receipt(4, signers=(2, 3, 4)).encode())
    changed.elect((4, 5, 6, 7), signers=(2, 3, 4))
    changed.grow(entry(101))
    second = changed.receipt(5, signers=(5, 6, 7)).encode()
    yield _vector("after a change of validators", second, pinned=founders())
    for size in (1, 2, 3, 64, 130):
        log = MemoryChain()
        log.grow(*(entry(number) for number in range(size)))
        for index in sorted({0, size // 2, size - 1}):
            yield _vector(f"a log of {size}", log.receipt(index).encode())


def _altered_receipts() -> Iterator[Vector]:
    for at in range(0, len(DATA), BYTE_STEP):
        for piece in (bytes([DATA[at] ^ 1]), bytes([DATA[at] ^ 0x20]), b""):
            altered = DATA[:at] + piece + DATA[at + 1 :]
            yield _vector("an altered byte", altered) | {"compare": "place"}
    for change in _receipt_changes():
        value = GOOD.to_json()
        change(value)
        yield _vector("an altered member", canonical_json.dump(value))


def _receipt_changes() -> list[Any]:
    marks = test_receipts.test_a_refusal_says_what_and_where.pytestmark  # type: ignore[attr-defined]
    return [case[0] for mark in marks if mark.name == "parametrize" for case in mark.args[1]]


def _spellings() -> Iterator[Vector]:
    for added in (b" ", b"\n", b"\x00", b"{}", b"\xef\xbb\xbf", b"\xff"):
        yield _vector("an added byte", DATA + added)
        yield _vector("an added byte", added + DATA)
    for data in (b"", b"[]", b"7", b"null", b" " * 1_048_577):
        yield _vector("no receipt at all", data)
    for fact in FACTS:
        altered = DATA.replace(b'"facts":{', b'"facts":{' + fact + b",", 1)
        yield _vector("another spelling of JSON", altered)


def _links() -> Iterator[Vector]:
    receipt = reformed().receipt(0, signers=(2, 3, 4))
    group = "a forged change of validators"
    yield _vector(group, reformed().receipt(0, signers=(0, 1, 2)).encode())
    for links in ([], [*receipt.links] * 2):
        yield _vector(group, _replaced_links(receipt, links))
    early, few, usurped = chain(4), chain(4), chain(4)
    early.configuration = Configuration(1, early.configuration.validators, ())
    early.elect((1, 2, 3, 4))
    few.elect((1, 2, 3, 4), signers=(0, 1))
    for made in (early, few):
        made.grow(entry(100))
        yield _vector(group, made.receipt(0, signers=(2, 3, 4)).encode())
    usurped.elect((4, 5, 6, 7), signers=(4, 5, 6))
    usurped.grow(entry(100))
    yield _vector(group, usurped.receipt(0, signers=(4, 5, 6)).encode())
    value: dict[str, Any] = receipt.to_json()
    (link,) = value["links"]
    epoch = b"stableproof\x00".hex()
    assert epoch in link
    longer = link.replace(epoch, b"stableproof\xcc\x00".hex())
    altered = [
        link[:at] + ("0" if link[at] != "0" else "1") + link[at + 1 :]
        for at in range(0, len(link), 7)
    ]
    for text in (longer, *altered):
        yield _vector("an altered link", canonical_json.dump(value | {"links": [text]}))


def _replaced_links(receipt: Receipt, links: Sequence[Any]) -> bytes:
    fields = {name: getattr(receipt, name) for name in Receipt.__dataclass_fields__}
    return Receipt(**fields | {"links": links}).encode()


def _odd_entries() -> Iterator[Vector]:
    """A quorum signed them, and they are no entries all the same."""
    for odd in ODD_ENTRIES:
        made = MemoryChain()
        made.grow(msgspec.structs.replace(entry(1), **odd))
        yield _vector("a signed entry that is none", made.receipt(0).encode())


def _other_chains() -> Iterator[Vector]:
    other = MemoryChain(genesis=founders(5))
    other.grow(entry(1))
    data = other.receipt(0, (0, 1, 2, 3)).encode()
    yield _vector("another chain than the pinned one", data, pinned=founders())


def _completeness() -> Iterator[Vector]:
    made = MemoryChain()
    made.grow(*(entry(number, booking=number // 2) for number in range(130)))
    for booking in range(0, 90, 7):
        data = made.completeness(str(UUID(int=booking))).encode()
        yield _vector("valid completeness proofs", data, pinned=made.genesis, is_completeness=True)


def _altered_completeness() -> Iterator[Vector]:
    absent = test_completeness.ABSENT.encode()
    files = [test_completeness.altered(change) for change, _ in test_completeness.REFUSALS]
    files += [test_completeness.altered(c, absent) for c, _ in test_completeness.ABSENCES]
    files += [test_completeness.forged(entries) for entries in test_completeness.LIES.values()]
    for data in files:
        yield _vector("an incomplete list", data, is_completeness=True)
    for data in (test_completeness.DATA, absent):
        for at in range(0, len(data), 2 * BYTE_STEP):
            for bit in (1, 0x20):
                altered = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
                vector = _vector("an altered byte of a list", altered, is_completeness=True)
                yield vector | {"compare": "place"}


def _verdicts() -> Iterator[Vector]:
    made = chain()
    files = {"a receipt": made.receipt(7).encode()}
    files |= {
        name: made.completeness(str(UUID(int=booking))).encode()
        for name, booking in (("entries of a booking", 1), ("no entry of a booking", 99))
    }
    for pinned in (made.genesis, None):
        for group, data in files.items():
            yield _verdict(f"{group}{', pinned' if pinned else ''}", data, pinned)
    for heights in ((2, 2), (1, 2), (2, 1)):
        yield _verdict(f"fraud at heights {heights}", _fraud(*forked(*heights)), founders())
    yield _verdict("a log that shrank", _fraud(*_shrunk()), founders())
    yield _verdict("no fraud", _fraud(GOOD, GOOD), founders())
    yield _verdict("a large file", b" " * (verify.PROOF_BYTES_MAX + 1), None)


def _shrunk() -> tuple[Receipt, Receipt]:
    made = MemoryChain(), MemoryChain()
    made[0].grow(*(entry(number) for number in range(9)))
    for number in range(3):
        made[1].grow(entry(number))
    return made[0].receipt(0), made[1].receipt(0)


def _verdict(group: str, data: bytes, pinned: Genesis | None) -> Vector:
    try:
        # A page has no options of a command line.
        text = verify.verify(data, pinned).text.removesuffix(" with --genesis")
    except InvalidDocument as invalid:
        text = f"not valid: {invalid}"
    encoded = pinned and base64.b64encode(pinned.encode()).decode()
    return {
        "group": group,
        "file": base64.b64encode(data).decode(),
        "pinned": encoded,
        "text": text,
    }


def _fraud(one: Receipt, other: Receipt) -> bytes:
    both = {"one": one.to_json(), "other": other.to_json()}
    return canonical_json.dump({"format": fraud.FORMAT, **both})
