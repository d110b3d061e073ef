"""Fraud proofs: two verified files that contradict each other.

They prove that more than f validators were Byzantine, and which of them signed both.
"""

from dataclasses import dataclass
from typing import Any, Final

from cinesync.proofs import canonical_json, completeness, receipts, strict_json
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.receipts import CertifiedHeader
from cinesync.proofs.strict_json import InvalidDocument

FORMAT: Final = "cinesync-fraud/1"


@dataclass(frozen=True)
class Fraud:
    """`signers_of_both` are at least f + 1 validators: any two quorums share as many."""

    one: CertifiedHeader
    other: CertifiedHeader
    what: str
    signers_of_both: frozenset[int]

    def encode(self) -> bytes:
        both = {"one": self.one.to_json(), "other": self.other.to_json()}
        return canonical_json.dump({"format": FORMAT, **both})


def find(one: CertifiedHeader, other: CertifiedHeader) -> Fraud | None:
    """The contradiction between two verified files. None: both can be true."""
    what = _contradiction(one, other)
    if what is None or one.genesis.chain != other.genesis.chain:
        return None
    signers = [frozenset(receipt.certificate.signatures) for receipt in (one, other)]
    return Fraud(one, other, what, signers[0] & signers[1])


def _contradiction(one: CertifiedHeader, other: CertifiedHeader) -> str | None:
    low, high = sorted((one.header, other.header), key=lambda header: header.height)
    if low.size == high.size and low.root != high.root:
        return f"two logs of {low.size} entries with different roots"
    if low.height == high.height and low.hash != high.hash:
        return f"two blocks at height {low.height}"
    if low.height + 1 == high.height and high.previous != low.hash:
        return f"block {high.height} does not follow block {low.height}"
    if low.size > high.size:
        return f"the log shrank from {low.size} to {high.size} entries"
    return None


def from_json(value: Any, pinned: Genesis | None = None) -> Fraud:
    """The fraud proof in a parsed file, checked. Raises InvalidDocument."""
    fields = strict_json.object_with(value, ("format", "one", "other"), "fraud")
    one = _verified(fields["one"], pinned, "fraud.one")
    other = _verified(fields["other"], pinned, "fraud.other")
    found = find(one, other)
    if found is None:
        raise InvalidDocument("fraud", "these receipts do not contradict each other")
    return found


def _verified(value: Any, pinned: Genesis | None, where: str) -> CertifiedHeader:
    """A receipt or a completeness proof."""
    if isinstance(value, dict) and value.get("format") == completeness.FORMAT:
        return completeness.verify_json(value, pinned, where)
    return receipts.verify_json(value, pinned, where)
