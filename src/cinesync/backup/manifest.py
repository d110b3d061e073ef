"""The manifest of a backup: all files with size and SHA-256, and the point in time."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

FORMAT: Final = "cinesync-backup/1"
FILE: Final = "manifest.json"
BLOCK_BYTES: Final = 1024 * 1024

# Arguments: the current step, its bytes so far, and their total (0: unknown).
ByteProgress: TypeAlias = Callable[[str, int, int], None]


class BackupFailed(Exception):
    """The command cannot be run; the message is one line that says why."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a backup."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`started_at` and `point_at` are in microseconds since 1970, before and after PostgreSQL's
    base backup. `chain` names the ledger, `head` the hash of its last block in this backup."""

    format: str
    version: str
    postgres: str
    started_at: int
    point_at: int
    chain: str
    head: str
    height: int
    entries: int
    files: dict[str, StoredFile]

    @property
    def bytes(self) -> int:
        return sum(stored.size for stored in self.files.values())


def write(folder: Path, manifest: Manifest) -> None:
    """Written last: a folder without it is no backup."""
    data = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
    (folder / FILE).write_bytes(data)
    (folder / FILE).chmod(0o600)


def read(folder: Path) -> Manifest:
    """Raises BackupFailed."""
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except OSError as error:
        raise BackupFailed(f"There is no backup in {folder}: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise BackupFailed(f"{folder / FILE} is not a manifest: {error}.") from error
    if manifest.format != FORMAT:
        raise BackupFailed(f"{folder} has the format {manifest.format}, not {FORMAT}.")
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BackupFailed(f"{folder / FILE} names a file outside the backup: {name}.")
    return manifest


def stored_files(folder: Path) -> Iterator[Path]:
    """All files but the manifest, sorted by name."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or (path.is_file() and path != folder / FILE):
            yield path


def describe(folder: Path, progress: ByteProgress) -> dict[str, StoredFile]:
    """Describe every file. Raises BackupFailed for a symbolic link."""
    paths = list(stored_files(folder))
    for path in paths:
        if path.is_symlink():
            raise BackupFailed(f"{path} is a symbolic link: tablespaces are not backed up.")
    total, done, found = sum(path.stat().st_size for path in paths), 0, {}
    for path in paths:
        stored = StoredFile(path.stat().st_size, sha256_of(path))
        found[str(path.relative_to(folder))] = stored
        done += stored.size
        progress("hashing", done, total)
    return found


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
