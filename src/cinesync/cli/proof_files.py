"""Receipts and other proofs in files, for `cinesync verify`."""

from pathlib import Path

from cinesync.proofs import fraud, genesis
from cinesync.proofs.fraud import Fraud
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.verify import PROOF_BYTES_MAX, VerifiedFile, verify


class Unreadable(Exception):
    """The file cannot be read at all; the message says which and why."""


def verify_file(path: Path, genesis_path: Path | None = None) -> VerifiedFile:
    """Raises InvalidDocument (exit code 1), Unreadable (exit code 2)."""
    pinned = load_genesis(genesis_path) if genesis_path else None
    return verify(_read(path), pinned)


def compare_files(one: Path, other: Path, genesis_path: Path | None = None) -> Fraud | None:
    """A proof of fraud when two good files exclude each other. Raises as `verify_file`."""
    verdicts = [verify_file(path, genesis_path) for path in (one, other)]
    return fraud.find(verdicts[0].found, verdicts[1].found)


def load_genesis(path: Path) -> Genesis:
    """Raises InvalidDocument, Unreadable."""
    return genesis.load(_read(path))


def _read(path: Path) -> bytes:
    """No more than a proof may have: a device or a film is no receipt."""
    try:
        with path.open("rb") as file:
            return file.read(PROOF_BYTES_MAX + 1)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
