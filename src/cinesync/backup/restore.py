"""`cinesync backup restore`: a shop of the backup's point, with a ledger that begins anew."""

import asyncio
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from cinesync.backup import bank, create, databases, manifest, verify
from cinesync.backup.manifest import BackupFailed, Manifest, Progress
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
    """What was done beside copying. `earlier` is where the old ledger's genesis and chain are."""

    kept: Manifest
    folder: Path
    earlier: Path
    entries: int
    sent_again: int
    charges_cut: int
    refunds_cut: int


def restore(backup: Path, target: Path, progress: Progress) -> Restored:
    """Into a folder that is not there yet, or is empty; it gets its name when it is whole.

    Raises BackupFailed, PostgresFailed, OSError.
    """
    backup, target = (path.expanduser().absolute() for path in (backup, target))
    kept = manifest.read(backup)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupFailed(f"{target} is not empty; a backup is never restored over anything.")
    if target.is_relative_to(backup):
        raise BackupFailed(f"{target} is inside the backup.")
    _check_room(kept, target)
    findings = list(verify.wrong_files(backup, kept, progress))
    if findings:
        raise BackupFailed(f"{backup} is damaged: {findings[0]} ({len(findings)} findings).")
    with durable.made_whole(target) as folder:
        restored = _fill(backup, kept, folder, progress)
    return replace(restored, folder=target, earlier=target / restored.earlier.name)


def _check_room(kept: Manifest, target: Path) -> None:
    above = next(path for path in target.parents if path.exists())
    free = shutil.disk_usage(above).free
    if free < kept.bytes:
        raise BackupFailed(
            f"{above} has {free // 10**6:,} MB free, and this needs {kept.bytes // 10**6:,} MB."
        )


def _fill(backup: Path, kept: Manifest, folder: Path, progress: Progress) -> Restored:
    _copy(backup, kept, folder, progress)
    earlier = _keep_earlier(folder)
    secret = (folder / "shop.secret").read_text()
    server = Postgres(folder / "postgres", secret=secret, databases=DATABASES)
    progress("starting the databases at the backup's point", 0, 0)
    server.start()
    try:
        work = _Work(server, folder, earlier, kept, progress)
        entries, sent_again, charges_cut, refunds_cut = asyncio.run(work.run())
    finally:
        server.stop()
    progress("founding the new ledger", 0, 0)
    name = f"cinesync after {kept.head[:NAME_HEX]}" if kept.head else "cinesync"
    addresses = [f"127.0.0.1:{port}" for port in free_ports(_validators_of(earlier))]
    provisioning.init(folder / "ledger", addresses, name)
    _record_parts(folder)
    return Restored(kept, folder, earlier, entries, sent_again, charges_cut, refunds_cut)


def _validators_of(earlier: Path) -> int:
    """As many as the earlier ledger had in the end."""
    epochs = Epochs(genesis.load((earlier / provisioning.GENESIS_FILE).read_bytes()))
    epochs.learn(load_links(earlier))
    return epochs.newest.size


def _copy(backup: Path, kept: Manifest, folder: Path, progress: Progress) -> None:
    """Folders and all, readable by their owner only; PostgreSQL's own become its user's."""
    shutil.copytree(
        backup,
        folder,
        dirs_exist_ok=True,
        copy_function=_Counted(kept.bytes, progress),
        ignore=lambda at, names: {manifest.FILE} & set(names) if Path(at) == backup else set(),
    )
    Postgres(folder / "postgres").adopt()


class _Counted:
    """Copies a file and says how far all of it is."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def __call__(self, source: str, target: str) -> str:
        shutil.copy2(source, target)
        self._done += Path(source).stat().st_size
        self._progress("copying", self._done, self._total)
        return target


def _keep_earlier(folder: Path) -> Path:
    """The ledger of the backup, under a name that none of the shop's processes looks at."""
    numbers = [int(path.name.rpartition("-")[2]) for path in folder.glob(f"{EARLIER}-*")]
    earlier = folder / f"{EARLIER}-{max(numbers, default=0) + 1}"
    (folder / "ledger").rename(earlier)
    return earlier


@dataclass(frozen=True, slots=True)
class _Work:
    """What is asked of the databases, one after the other."""

    server: Postgres
    folder: Path
    earlier: Path
    kept: Manifest
    progress: Progress

    async def run(self) -> tuple[int, int, int, int]:
        archive = self.earlier / CERTIFICATES
        archive.touch(mode=0o600)
        entries = await databases.forget_earlier_ledger(self.server, archive, self.progress)
        await databases.become_another_shop(self.server)
        self.progress("looking for events that only the broker had", 0, 0)
        sent_again = await databases.send_undelivered_again(self.server)
        charges, refunds = 0, 0
        if (self.folder / create.BANK).exists():
            self.progress("cutting the bank's books at the point", 0, 0)
            charges, refunds = await bank.cut(
                self.folder / create.BANK,
                self.kept.started_at,
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
