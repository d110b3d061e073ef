"""`cinesync backup create`: a hot backup of one point in time."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cinesync.backup import manifest, sqlite_copy
from cinesync.backup.manifest import BackupFailed, ByteProgress, Manifest
from cinesync.chassis import clock, durable
from cinesync.pbft.messages import encode
from cinesync.proofs import entries, genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.infrastructure import postgres_of
from cinesync.supervisor.postgres.backup import base_backup
from cinesync.validator import provisioning
from cinesync.validator.inspection.inspect import ValidatorSets
from cinesync.validator.storage.chain_reader import parse_header

# Files of one run, and what is copied in another way.
SKIPPED: Final = frozenset(
    {"postgres", "ledger", "logs", "lock", "control", "run.json", "parts.json"}
)
BANK: Final = "bank.sqlite"
CHAIN: Final = "ledger/chain.sqlite"
GENESIS: Final = "ledger/genesis.json"
LINKS: Final = "ledger/links"
HEAD: Final = "SELECT header FROM blocks ORDER BY height DESC LIMIT 1"


def create(data_folder: DataFolder, target: Path, progress: ByteProgress) -> Manifest:
    """Create a backup in a new or empty folder, which gets its name when it is complete.

    The shop's PostgreSQL must be running. Raises BackupFailed, PostgresFailed, OSError.
    """
    target = target.expanduser().absolute()
    if target.is_relative_to(data_folder.path):
        raise BackupFailed(f"{target} is inside the data folder, and would be lost with it.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupFailed(f"{target} is not empty; a backup never replaces anything.")
    _check_free_space(data_folder, target)
    with durable.made_whole(target) as folder:
        return _fill(data_folder, folder, progress)


def _fill(data_folder: DataFolder, folder: Path, progress: ByteProgress) -> Manifest:
    started_at = entries.microseconds(clock.now())
    server = postgres_of(data_folder)
    (folder / "postgres").mkdir(mode=0o700)
    base_backup(
        server.url(),
        folder / "postgres" / "data",
        lambda done, total: progress("copying the databases", done, total),
    )
    point_at = entries.microseconds(clock.now())
    # What follows may be ahead of the databases.
    _copy_files(data_folder, folder)
    progress("copying the bank's books", 0, 0)
    if (data_folder.path / BANK).exists():
        sqlite_copy.copy(data_folder.path / BANK, folder / BANK)
    progress("copying the ledger", 0, 0)
    start, head = _copy_ledger(data_folder.path / "ledger", folder)
    for path in folder.rglob("*"):  # for its owner only, whatever its mode in the shop
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
    made = Manifest(
        format=manifest.FORMAT,
        version=version("cinesync"),
        postgres=(folder / "postgres" / "data" / "PG_VERSION").read_text().strip(),
        started_at=started_at,
        point_at=point_at,
        chain=start.chain.hex(),
        head=head.hash.hex() if head else "",
        height=head.height if head else 0,
        entries=head.size if head else 0,
        files=manifest.describe(folder, progress),
    )
    manifest.write(folder, made)
    return made


def _check_free_space(data_folder: DataFolder, target: Path) -> None:
    """Raises BackupFailed when the disk is too small."""
    above = next(path for path in target.parents if path.exists())
    parts = ("postgres/data", "ledger/validator-0", BANK)
    needed = sum(_size(data_folder.path / part) for part in parts)
    free = shutil.disk_usage(above).free
    if free < needed:
        raise BackupFailed(
            f"{above} has {free // 10**6:,} MB free, and this backup needs {needed // 10**6:,} MB."
        )


def _size(path: Path) -> int:
    """The bytes of a file, or of all in a folder. A running server deletes some meanwhile."""
    in_folder = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    total = 0
    for file in in_folder or [path]:
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _copy_files(data_folder: DataFolder, folder: Path) -> None:
    """Copy secrets, the gateway's CA, and other files that are replaced as a whole."""
    for path in sorted(data_folder.path.iterdir()):
        if path.name in SKIPPED or path.name.startswith((BANK, ".")) or ".set-aside-" in path.name:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, folder / path.name, ignore=_sockets)
        elif path.is_file():
            shutil.copy2(path, folder / path.name)
            (folder / path.name).chmod(0o600)


def _sockets(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if (Path(folder) / name).is_socket()}


def _copy_ledger(ledger: Path, folder: Path) -> tuple[genesis.Genesis, BlockHeader | None]:
    """Copy the longest chain of all validators, and no key."""
    (folder / "ledger").mkdir(mode=0o700)
    client = provisioning.client_home(ledger)
    data = (client / provisioning.GENESIS_FILE).read_bytes()
    (folder / GENESIS).write_bytes(data)
    (folder / GENESIS).chmod(0o600)
    start = genesis.load(data)
    durable.write(folder / LINKS, encode(tuple(ValidatorSets(ledger, start).links)))
    chains = sorted(ledger.glob(f"validator-*/{provisioning.CHAIN_FILE}"), key=_height)
    if not chains:
        raise BackupFailed(f"No validator in {ledger} has a chain; run `cinesync audit`.")
    sqlite_copy.copy(chains[-1], folder / CHAIN)
    return start, head_of(folder / CHAIN)


def _height(chain: Path) -> int:
    try:
        head = head_of(chain)
    except (sqlite3.Error, ValueError):
        return -1
    return head.height if head else 0


def head_of(chain: Path) -> BlockHeader | None:
    """The last block's header. Raises sqlite3.Error, InvalidDocument."""
    with closing(sqlite_copy.connect(chain)) as connection:
        row = connection.execute(HEAD).fetchone()
    return parse_header(bytes(row[0])) if row else None
