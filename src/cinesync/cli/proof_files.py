"""Reads receipts and other proofs from files, for `cinesync verify`."""

from pathlib import Path

from cinesync.proofs import fraud, genesis
from cinesync.proofs.fraud import Fraud
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.verify import PROOF_BYTES_MAX, VerifiedFile, verify


class UnreadableFile(Exception):
    """The file cannot be read; the message says which and why."""


def verify_file(path: Path, genesis_path: Path | None = None) -> VerifiedFile:
    """Raises InvalidDocument (exit code 1), UnreadableFile (exit code 2)."""
    pinned = load_genesis(genesis_path) if genesis_path else None
    return verify(_read(path), pinned)


def compare_files(one: Path, other: Path, genesis_path: Path | None = None) -> Fraud | None:
    """A proof of fraud, when two valid files contradict each other. Raises as `verify_file`."""
    verdicts = [verify_file(path, genesis_path) for path in (one, other)]
    return fraud.find(verdicts[0].found, verdicts[1].found)


def load_genesis(path: Path) -> Genesis:
    """Raises InvalidDocument, UnreadableFile."""
    return genesis.load(_read(path))


def _read(path: Path) -> bytes:
    """Read no more than a proof may have: the path may be a device or a huge file."""
    try:
        with path.open("rb") as file:
            return file.read(PROOF_BYTES_MAX + 1)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error
