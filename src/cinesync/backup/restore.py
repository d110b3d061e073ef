"""`cinesync backup restore`: a shop as at the backup's point, with a new ledger."""

import asyncio
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from cinesync.backup import bank, create, databases, manifest, verify
from cinesync.backup.manifest import BackupFailed, ByteProgress, Manifest
from cinesync.chassis import durable
from cinesync.proofs import genesis
from cinesync.proofs.epochs import Epochs
from cinesync.supervisor.environments import DATABASES
from cinesync.supervisor.inventory import Inventory
from cinesync.supervisor.ports import free_ports
from cinesync.supervisor.postgres import Postgres
from cinesync.validator import provisioning
from cinesync.validator.home import load_links

EARLIER: Final = "ledger-earlier"  # and a number: a shop may be restored several times
CERTIFICATES: Final = "certificates.sqlite"
NAME_HEX: Final = 32


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done beside copying. `earlier` has the genesis and chain of the old ledger."""

    contents: Manifest
    folder: Path
    earlier: Path
    entries: int
    sent_again: int
    charges_cut: int
    refunds_cut: int


def restore(backup: Path, target: Path, progress: ByteProgress) -> Restored:
    """Restore to a new or empty folder, which gets its name when it is complete.

    Raises BackupFailed, PostgresFailed, OSError.
    """
    backup, target = (path.expanduser().absolute() for path in (backup, target))
    contents = manifest.read(backup)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupFailed(f"{target} is not empty; a backup is never restored over anything.")
    if target.is_relative_to(backup):
        raise BackupFailed(f"{target} is inside the backup.")
    _check_free_space(contents, target)
    findings = list(verify.file_findings(backup, contents, progress))
    if findings:
        raise BackupFailed(f"{backup} is damaged: {findings[0]} ({len(findings)} findings).")
    with durable.made_whole(target) as folder:
        restored = _fill(backup, contents, folder, progress)
    return replace(restored, folder=target, earlier=target / restored.earlier.name)


def _check_free_space(contents: Manifest, target: Path) -> None:
    above = next(path for path in target.parents if path.exists())
    free = shutil.disk_usage(above).free
    if free < contents.bytes:
        raise BackupFailed(
            f"{above} has {free // 10**6:,} MB free, and this needs {contents.bytes // 10**6:,} MB."
        )


def _fill(backup: Path, contents: Manifest, folder: Path, progress: ByteProgress) -> Restored:
    _copy(backup, contents, folder, progress)
    earlier = _set_aside_ledger(folder)
    secret = (folder / "shop.secret").read_text()
    server = Postgres(folder / "postgres", secret=secret, databases=DATABASES)
    progress("starting the databases at the backup's point", 0, 0)
    server.start()
    try:
        work = _DatabaseWork(server, folder, earlier, contents, progress)
        entries, sent_again, charges_cut, refunds_cut = asyncio.run(work.run())
    finally:
        server.stop()
    progress("creating the new ledger", 0, 0)
    name = f"cinesync after {contents.head[:NAME_HEX]}" if contents.head else "cinesync"
    addresses = [f"127.0.0.1:{port}" for port in free_ports(_validators_of(earlier))]
    provisioning.init(folder / "ledger", addresses, name)
    _record_parts(folder)
    return Restored(contents, folder, earlier, entries, sent_again, charges_cut, refunds_cut)


def _validators_of(earlier: Path) -> int:
    """The number of validators that the earlier ledger had in the end."""
    epochs = Epochs(genesis.load((earlier / provisioning.GENESIS_FILE).read_bytes()))
    epochs.learn(load_links(earlier))
    return epochs.newest.size


def _copy(backup: Path, contents: Manifest, folder: Path, progress: ByteProgress) -> None:
    """Copy all files, readable by their owner only; PostgreSQL's belong to its user."""
    shutil.copytree(
        backup,
        folder,
        dirs_exist_ok=True,
        copy_function=_CountingCopy(contents.bytes, progress),
        ignore=lambda at, names: {manifest.FILE} & set(names) if Path(at) == backup else set(),
    )
    Postgres(folder / "postgres").adopt()


class _CountingCopy:
    """Copies a file, and reports the progress of the whole."""

    def __init__(self, total: int, progress: ByteProgress) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def __call__(self, source: str, target: str) -> str:
        shutil.copy2(source, target)
        self._done += Path(source).stat().st_size
        self._progress("copying", self._done, self._total)
        return target


def _set_aside_ledger(folder: Path) -> Path:
    """Rename the backup's ledger, so that no process of the shop uses it."""
    numbers = [int(path.name.rpartition("-")[2]) for path in folder.glob(f"{EARLIER}-*")]
    earlier = folder / f"{EARLIER}-{max(numbers, default=0) + 1}"
    (folder / "ledger").rename(earlier)
    return earlier


@dataclass(frozen=True, slots=True)
class _DatabaseWork:
    """The steps on the restored databases."""

    server: Postgres
    folder: Path
    earlier: Path
    contents: Manifest
    progress: ByteProgress

    async def run(self) -> tuple[int, int, int, int]:
        archive = self.earlier / CERTIFICATES
        archive.touch(mode=0o600)
        entries = await databases.forget_earlier_ledger(self.server, archive, self.progress)
        await databases.become_another_shop(self.server)
        self.progress("searching events that only the broker had", 0, 0)
        sent_again = await databases.send_undelivered_again(self.server)
        charges, refunds = 0, 0
        if (self.folder / create.BANK).exists():
            self.progress("removing later payments from the bank's books", 0, 0)
            charges, refunds = await bank.cut(
                self.folder / create.BANK,
                self.contents.started_at,
                partial(databases.known_payments, self.server),
                partial(databases.known_refunds, self.server),
            )
        return entries, sent_again, charges, refunds


def _record_parts(folder: Path) -> None:
    inventory = Inventory(folder)
    for path in sorted(folder.glob("*.secret")):
        inventory.record_secret(path.stem)
    inventory.record_existing()
    inventory.record_ledger()
