"""`cinesync backup verify`: everything that can be known of a backup without restoring it."""

from collections.abc import Iterator
from pathlib import Path

from cinesync.backup import create, manifest, sqlite_copy
from cinesync.backup.manifest import Manifest, Progress
from cinesync.proofs import genesis
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.supervisor.postgres import PostgresFailed
from cinesync.supervisor.postgres.backup import verify_backup
from cinesync.validator.home import load_links
from cinesync.validator.inspection import log_reader
from cinesync.validator.inspection.inspect import Altered
from cinesync.validator.storage.schema import OldFormat


def verify(folder: Path, progress: Progress) -> tuple[Manifest, list[str]]:
    """What the backup is, and what is wrong with it. Raises BackupFailed when it is none."""
    kept = manifest.read(folder)
    findings = list(wrong_files(folder, kept, progress))
    if not findings:  # what has every byte is looked into
        findings += _wrong_databases(folder)
        findings += _wrong_books(folder)
        findings += _wrong_ledger(folder, kept)
    return kept, findings


def wrong_files(folder: Path, kept: Manifest, progress: Progress) -> Iterator[str]:
    """Files that are missing, altered, or not in the manifest."""
    there = {str(path.relative_to(folder)): path for path in manifest.stored_files(folder)}
    for name in sorted(there.keys() - kept.files.keys()):
        yield f"{name} is not in the manifest"
    done = 0
    for name, stored in sorted(kept.files.items()):
        path = there.get(name)
        if path is None or path.is_symlink():
            yield f"{name} is missing"
        elif path.stat().st_size != stored.size:
            yield f"{name} has {path.stat().st_size} bytes, not {stored.size}"
        elif manifest.sha256_of(path) != stored.sha256:
            yield f"{name} was altered"
        done += stored.size
        progress("checking every file", done, kept.bytes)


def _wrong_databases(folder: Path) -> Iterator[str]:
    try:
        verify_backup(folder / "postgres" / "data")
    except PostgresFailed as error:
        yield str(error)


def _wrong_books(folder: Path) -> Iterator[str]:
    for name in (create.BANK, create.CHAIN):
        path = folder / name
        if path.exists() and (found := sqlite_copy.integrity(path)) != "ok":
            yield f"{name}: {found}"


def _wrong_ledger(folder: Path, kept: Manifest) -> Iterator[str]:
    """The log from the genesis to its last block, hashed again."""
    try:
        start = genesis.load((folder / create.GENESIS).read_bytes())
        links = load_links(folder / "ledger")
        read = log_reader.check_file(folder / create.CHAIN, start, links)
    except (Altered, OldFormat, InvalidDocument) as error:
        yield f"{create.CHAIN}: {error}"
        return
    if (start.chain.hex(), read.blocks, read.entries) != (kept.chain, kept.height, kept.entries):
        yield f"{create.CHAIN}: {read.entries} entries in {read.blocks} blocks of another ledger"
