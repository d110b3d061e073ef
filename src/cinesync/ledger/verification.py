"""`cinesync verify`: is this a good receipt, all of a booking, or a proof of fraud? Offline."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cinesync.ledger import canonical, completeness, fraud, genesis, receipts
from cinesync.ledger.completeness import Completeness
from cinesync.ledger.fraud import Fraud
from cinesync.ledger.genesis import Genesis
from cinesync.ledger.receipts import Receipt, Signed
from cinesync.ledger.shapes import Invalid

# Not from the locale: `static/verify_page.js` says the same line.
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class Unreadable(Exception):
    """The file cannot be read at all; the message says which and why."""


@dataclass(frozen=True)
class Verdict:
    """What a file proves. `pinned`: against a genesis that the asker trusts."""

    found: Signed
    pinned: bool
    fraud: Fraud | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        if self.fraud is not None:
            liars = ", ".join(str(replica) for replica in sorted(self.fraud.liars))
            return f"FRAUD: {self.fraud.what}; validators {liars} signed both"
        header = self.found.header
        at = datetime.fromtimestamp(header.time // 1_000_000, UTC)
        when = f"{at.day} {MONTHS[at.month - 1]} {at:%Y, %H:%M:%S} UTC"
        signers, chain = len(self.found.certificate.signatures), self.found.genesis.chain.hex()
        trust = "" if self.pinned else (
            f"; the genesis {chain[:16]}… is the file's own: pin yours with --genesis"
        )  # fmt: skip
        return (
            f"valid: {_statement(self.found)} of {header.size} at height {header.height}, {when},"
            f" signed by {signers} validators{trust}"
        )


def _statement(found: Signed) -> str:
    if isinstance(found, Completeness):
        indices = ", ".join(str(one.index) for one in found.entries)
        count = len(found.entries)
        many = f"exactly {count} {'entry' if count == 1 else 'entries'} ({indices})"
        return f"booking {found.booking_id} has {many if count else 'no entry'} in the log"
    assert isinstance(found, Receipt)
    entry = found.entry
    return f"{entry.kind} {entry.event_id} of booking {entry.booking_id} is entry {found.index}"


def verify_file(path: Path, genesis_path: Path | None = None) -> Verdict:
    """Raises Invalid (exit code 1), Unreadable (exit code 2)."""
    pinned = load_genesis(genesis_path) if genesis_path else None
    data = _read(path)
    value = _parsed(data)
    if isinstance(value, dict) and value.get("format") == fraud.FORMAT:
        found = fraud.from_json(value, pinned)
        return Verdict(found.one, pinned is not None, found)
    if isinstance(value, dict) and value.get("format") == completeness.FORMAT:
        return Verdict(completeness.verify(data, pinned), pinned is not None)
    return Verdict(receipts.verify(data, pinned), pinned is not None)


def compare_files(one: Path, other: Path, genesis_path: Path | None = None) -> Fraud | None:
    """A proof of fraud when two good files exclude each other. Raises as `verify_file`."""
    verdicts = [verify_file(path, genesis_path) for path in (one, other)]
    return fraud.find(verdicts[0].found, verdicts[1].found)


def load_genesis(path: Path) -> Genesis:
    """Raises Invalid, Unreadable."""
    return genesis.load(_read(path))


def _read(path: Path) -> bytes:
    """No more than a proof of fraud may have: a device or a film is no receipt."""
    try:
        with path.open("rb") as file:
            return file.read(2 * receipts.RECEIPT_BYTES_MAX + 1)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _parsed(data: bytes) -> object:
    if len(data) > 2 * receipts.RECEIPT_BYTES_MAX:
        raise Invalid("file", f"larger than {2 * receipts.RECEIPT_BYTES_MAX} bytes")
    try:
        parsed: object = canonical.load(data)
    except canonical.NotCanonical as error:
        raise Invalid("receipt", str(error)) from error
    return parsed
