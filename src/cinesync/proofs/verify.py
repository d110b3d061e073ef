"""Verify a proof file offline: a receipt, a completeness proof or a fraud proof."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cinesync.proofs import canonical_json, completeness, fraud, receipts
from cinesync.proofs.completeness import CompletenessProof
from cinesync.proofs.fraud import Fraud
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.receipts import CertifiedHeader, Receipt
from cinesync.proofs.strict_json import InvalidDocument

# A proof of fraud is two receipts.
PROOF_BYTES_MAX = 2 * receipts.RECEIPT_BYTES_MAX
# Not from the locale: `explorer/static/verdict.js` of the pages says the same line.
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@dataclass(frozen=True)
class VerifiedFile:
    """What a valid file proves. `pinned`: verified against a genesis that the caller trusts."""

    found: CertifiedHeader
    pinned: bool
    fraud: Fraud | None = None

    @property
    def text(self) -> str:
        """The result in one line."""
        if self.fraud is not None:
            signers = ", ".join(str(replica) for replica in sorted(self.fraud.signers_of_both))
            return f"FRAUD: {self.fraud.what}; validators {signers} signed both"
        header = self.found.header
        at = datetime.fromtimestamp(header.time // 1_000_000, UTC)
        when = f"{at.day} {MONTHS[at.month - 1]} {at:%Y, %H:%M:%S} UTC"
        count, chain = len(self.found.certificate.signatures), self.found.genesis.chain.hex()
        trust = "" if self.pinned else (
            f"; the genesis {chain[:16]}… is the file's own: pin yours with --genesis"
        )  # fmt: skip
        return (
            f"valid: {_statement(self.found)} of {header.size} at height {header.height}, {when},"
            f" signed by {count} validators{trust}"
        )


def _statement(found: CertifiedHeader) -> str:
    if isinstance(found, CompletenessProof):
        indices = ", ".join(str(one.index) for one in found.entries)
        count = len(found.entries)
        many = f"exactly {count} {'entry' if count == 1 else 'entries'} ({indices})"
        return f"booking {found.booking_id} has {many if count else 'no entry'} in the log"
    assert isinstance(found, Receipt)
    entry = found.entry
    return f"{entry.kind} {entry.event_id} of booking {entry.booking_id} is entry {found.index}"


def verify(data: bytes, pinned: Genesis | None = None) -> VerifiedFile:
    """Check a file. `pinned` is the genesis that the caller trusts. Raises InvalidDocument."""
    value = _parsed(data)
    if isinstance(value, dict) and value.get("format") == fraud.FORMAT:
        found = fraud.from_json(value, pinned)
        return VerifiedFile(found.one, pinned is not None, found)
    if isinstance(value, dict) and value.get("format") == completeness.FORMAT:
        return VerifiedFile(completeness.verify(data, pinned), pinned is not None)
    return VerifiedFile(receipts.verify(data, pinned), pinned is not None)


def _parsed(data: bytes) -> object:
    if len(data) > PROOF_BYTES_MAX:
        raise InvalidDocument("file", f"larger than {PROOF_BYTES_MAX} bytes")
    try:
        parsed: object = canonical_json.load(data)
    except canonical_json.NotCanonical as error:
        raise InvalidDocument("receipt", str(error)) from error
    return parsed
