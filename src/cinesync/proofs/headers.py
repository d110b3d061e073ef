"""Block headers: what a quorum of validators signs when a block is final.

A header names no view: honest validators may commit a block in different views, and all must sign
the same bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from cinesync.proofs import merkle_log, strict_json
from cinesync.proofs.strict_json import InvalidDocument

FORMAT: Final = "cinesync-header/2"
DOMAIN: Final = b"cinesync/header/2\x00"
DIGESTS: Final = ("chain", "previous", "entries_root", "root", "map_root", "validators")
NUMBERS: Final = ("height", "time", "size")


@dataclass(frozen=True)
class BlockHeader:
    """`chain` is the hash of the genesis, `previous` that of the header below, or `chain`.

    `entries_root` covers this block's entries, `root` the whole log of `size` entries, `map_root`
    the map from subjects to their entries. `time` is in microseconds since 1970. `validators` is
    the hash of the set that signs.
    """

    chain: bytes
    height: int
    time: int
    previous: bytes
    entries_root: bytes
    size: int
    root: bytes
    map_root: bytes
    validators: bytes

    @cached_property
    def hash(self) -> bytes:
        return hashlib.sha256(DOMAIN + self.encoded).digest()

    @cached_property
    def encoded(self) -> bytes:
        """Canonical JSON, faster than `canonical_json.dump`; a test compares the two."""
        return msgspec.json.encode(self.to_json(), order="sorted")

    def to_json(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in NUMBERS}
        return {"format": FORMAT} | numbers | {n: getattr(self, n).hex() for n in DIGESTS}


def from_json(value: Any, where: str) -> BlockHeader:
    """Raises InvalidDocument."""
    fields = strict_json.object_with(value, ("format", *NUMBERS, *DIGESTS), where)
    if fields["format"] != FORMAT:
        raise InvalidDocument(f"{where}.format", f"not {FORMAT}")
    known: dict[str, Any] = {
        name: strict_json.integer(fields[name], f"{where}.{name}") for name in NUMBERS
    }
    known |= {name: strict_json.hexadecimal(fields[name], f"{where}.{name}") for name in DIGESTS}
    return BlockHeader(**known)


def next_header(
    chain: bytes,
    before: BlockHeader | None,
    time: int,
    leaves: Sequence[bytes],
    log: merkle_log.Frontier,
    map_root: bytes,
    validators: bytes,
) -> BlockHeader:
    """The header that follows `before`; `log` already contains the block's leaf hashes."""
    return BlockHeader(
        chain=chain,
        height=before.height + 1 if before else 1,
        time=time,
        previous=before.hash if before else chain,
        entries_root=merkle_log.root_of(leaves),
        size=log.size,
        root=log.root(),
        map_root=map_root,
        validators=validators,
    )
