"""`cinesync backup verify`: checks all of a backup without restoring it."""

from collections.abc import Iterator
from pathlib import Path

from cinesync.backup import create, manifest, sqlite_copy
from cinesync.backup.manifest import ByteProgress, Manifest
from cinesync.proofs import genesis
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.supervisor.postgres import PostgresFailed
from cinesync.supervisor.postgres.backup import verify_backup
from cinesync.validator.home import load_links
from cinesync.validator.inspection import log_reader
from cinesync.validator.inspection.inspect import Altered
from cinesync.validator.storage.schema import OldFormat


def verify(folder: Path, progress: ByteProgress) -> tuple[Manifest, list[str]]:
    """The manifest and all findings. Raises BackupFailed when there is no backup."""
    contents = manifest.read(folder)
    findings = list(file_findings(folder, contents, progress))
    if not findings:  # contents are checked only when all files are complete
        findings += _database_findings(folder)
        findings += _sqlite_findings(folder)
        findings += _ledger_findings(folder, contents)
    return contents, findings


def file_findings(folder: Path, contents: Manifest, progress: ByteProgress) -> Iterator[str]:
    """Files that are missing, altered, or not in the manifest."""
    there = {str(path.relative_to(folder)): path for path in manifest.stored_files(folder)}
    for name in sorted(there.keys() - contents.files.keys()):
        yield f"{name} is not in the manifest"
    done = 0
    for name, stored in sorted(contents.files.items()):
        path = there.get(name)
        if path is None or path.is_symlink():
            yield f"{name} is missing"
        elif path.stat().st_size != stored.size:
            yield f"{name} has {path.stat().st_size} bytes, not {stored.size}"
        elif manifest.sha256_of(path) != stored.sha256:
            yield f"{name} was altered"
        done += stored.size
        progress("checking every file", done, contents.bytes)


def _database_findings(folder: Path) -> Iterator[str]:
    try:
        verify_backup(folder / "postgres" / "data")
    except PostgresFailed as error:
        yield str(error)


def _sqlite_findings(folder: Path) -> Iterator[str]:
    for name in (create.BANK, create.CHAIN):
        path = folder / name
        if path.exists() and (found := sqlite_copy.integrity(path)) != "ok":
            yield f"{name}: {found}"


def _ledger_findings(folder: Path, contents: Manifest) -> Iterator[str]:
    """Hash the log again, from the genesis to its last block."""
    try:
        start = genesis.load((folder / create.GENESIS).read_bytes())
        links = load_links(folder / "ledger")
        read = log_reader.check_file(folder / create.CHAIN, start, links)
    except (Altered, OldFormat, InvalidDocument) as error:
        yield f"{create.CHAIN}: {error}"
        return
    if (start.chain.hex(), read.blocks, read.entries) != (
        contents.chain,
        contents.height,
        contents.entries,
    ):
        yield f"{create.CHAIN}: {read.entries} entries in {read.blocks} blocks of another ledger"
