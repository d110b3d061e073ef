"""Completeness proofs: one JSON file proves which entries a booking has, and that it has no others.

The header's map has one value for all entries of a subject. Leaving out, adding or exchanging an
entry makes another value; a booking without entries is not in the map. Like a receipt, the file
has one encoding, and every byte of it is checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cinesync.proofs import entries, merkle_log, merkle_map, receipts, strict_json, subjects
from cinesync.proofs.entries import LedgerEntry
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.merkle_map import EMPTY, MapProof
from cinesync.proofs.receipts import CertifiedHeader
from cinesync.proofs.strict_json import InvalidDocument

FORMAT: Final = "cinesync-completeness/1"
MEMBERS: Final = (*receipts.SIGNED_MEMBERS, "booking_id", "entries", "path", "other")
ENTRIES_MAX: Final = 4_096


@dataclass(frozen=True)
class IndexedEntry:
    """An entry and its index in the log."""

    index: int
    entry: LedgerEntry


@dataclass(frozen=True)
class CompletenessProof(CertifiedHeader):
    """All entries of a booking in the log up to the header, and no others."""

    booking_id: str
    entries: Sequence[IndexedEntry]
    proof: MapProof

    def to_json(self) -> dict[str, Any]:
        other = self.proof.other
        return {
            "format": FORMAT,
            **super().to_json(),
            "booking_id": self.booking_id,
            "entries": [{"index": one.index, "entry": one.entry.to_json()} for one in self.entries],
            "path": [[node.hex() or None for node in level] for level in self.proof.path],
            "other": other and {"key": other[0].hex(), "value": other[1].hex()},
        }


def verify(data: bytes, pinned: Genesis | None = None) -> CompletenessProof:
    """The proof in these bytes, fully checked. Raises InvalidDocument."""
    found = verify_json(receipts.parsed(data, "completeness"), pinned)
    receipts.check_encoding(found, data, "completeness")
    return found


def verify_json(
    value: Any, pinned: Genesis | None = None, where: str = "completeness"
) -> CompletenessProof:
    found = from_json(value, where)
    receipts.check_signed(found, pinned, where)
    _check_entries(found, f"{where}.entries")
    _check_map(found, where)
    return found


def from_json(value: Any, where: str) -> CompletenessProof:
    """Check the structure only, no signature. Raises InvalidDocument."""
    fields = strict_json.object_with(value, MEMBERS, where)
    if fields["format"] != FORMAT:
        raise InvalidDocument(f"{where}.format", f"not {FORMAT}")
    if not entries.is_id(fields["booking_id"]):
        raise InvalidDocument(f"{where}.booking_id", "not a UUID in lower case")
    held = strict_json.array(fields["entries"], f"{where}.entries", ENTRIES_MAX)
    return CompletenessProof(
        **vars(receipts.signed_from_json(fields, where)),
        booking_id=fields["booking_id"],
        entries=[_indexed(item, f"{where}.entries[{at}]") for at, item in enumerate(held)],
        proof=proof_from_json(fields["path"], fields["other"], where),
    )


def proof_from_json(path: Any, other: Any, where: str) -> MapProof:
    """Raises InvalidDocument."""
    levels = strict_json.array(path, f"{where}.path", merkle_map.DEPTH_MAX)
    return MapProof(
        [_level(item, f"{where}.path[{at}]") for at, item in enumerate(levels)],
        None if other is None else _other(other, f"{where}.other"),
    )


def _indexed(value: Any, where: str) -> IndexedEntry:
    fields = strict_json.object_with(value, ("index", "entry"), where)
    entry = receipts.entry_from_json(fields["entry"], f"{where}.entry")
    return IndexedEntry(strict_json.integer(fields["index"], f"{where}.index"), entry)


def _level(value: Any, where: str) -> list[bytes]:
    hashes = strict_json.array(value, where, merkle_map.WIDTH - 1)
    if len(hashes) != merkle_map.WIDTH - 1:
        raise InvalidDocument(where, f"not {merkle_map.WIDTH - 1} hashes")
    return [_sibling(item, f"{where}[{at}]") for at, item in enumerate(hashes)]


def _sibling(value: Any, where: str) -> bytes:
    """An empty sibling is null, never 32 zero bytes."""
    if value is None:
        return b""
    node = strict_json.hexadecimal(value, where)
    if node == EMPTY:
        raise InvalidDocument(where, "an empty place is spelled null")
    return node


def _other(value: Any, where: str) -> tuple[bytes, bytes]:
    fields = strict_json.object_with(value, ("key", "value"), where)
    key = strict_json.hexadecimal(fields["key"], f"{where}.key")
    return key, strict_json.hexadecimal(fields["value"], f"{where}.value")


def _check_entries(found: CompletenessProof, where: str) -> None:
    before = -1
    for at, one in enumerate(found.entries):
        if one.entry.booking_id != found.booking_id:
            raise InvalidDocument(f"{where}[{at}].entry.booking_id", "another booking")
        if one.index <= before:
            raise InvalidDocument(f"{where}[{at}].index", "not in the order of the log")
        if one.index >= found.header.size:
            raise InvalidDocument(f"{where}[{at}].index", f"not in a log of {found.header.size}")
        before = one.index


def _check_map(found: CompletenessProof, where: str) -> None:
    leaves = ((one.index, merkle_log.leaf_hash(one.entry.encode())) for one in found.entries)
    key, value = subjects.key_of(found.booking_id), subjects.value_of(leaves)
    try:
        root = merkle_map.root_from(key, value, found.proof)
    except merkle_log.BadProof as error:
        raise InvalidDocument(f"{where}.path", str(error)) from error
    if root != found.header.map_root:
        raise InvalidDocument(f"{where}.entries", "not all, or not only, what the signed map has")
