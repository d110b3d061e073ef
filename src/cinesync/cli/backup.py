"""`cinesync backup`: create a backup, verify it, restore it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from cinesync.cli.context import (
    CommandError,
    data_option,
    environ,
    err,
    readable_books,
    shop_settings,
)
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.postgres import PostgresFailed

if TYPE_CHECKING:
    from cinesync.backup.manifest import ByteProgress, Manifest

backup_type = click.Path(path_type=Path, file_okay=False)


@click.group("backup")
def backup_group() -> None:
    """Backups of a whole shop at one point in time."""


@backup_group.command("create")
@click.argument("folder", type=backup_type)
@data_option
def create_command(folder: Path, data: Path) -> None:
    """Back up the shop in --data to FOLDER: databases, bank, secrets, the chain.

    The shop may run, and sells on. FOLDER must be new or empty. The keys of validators are not in
    a backup.
    """
    from cinesync.backup.create import create  # noqa: PLC0415

    if "DATABASE_URL" in environ():
        raise CommandError(
            "`cinesync backup` needs the PostgreSQL of a data folder: unset DATABASE_URL, or use"
            " the tools of that server."
        )
    with shop_settings(data), _one_line(), _bar() as progress:
        made = create(DataFolder(data), folder, progress)
    click.echo(f"backup of {_point_text(made)}: {_size(made)} in {folder}")


@backup_group.command("verify")
@click.argument("folder", type=backup_type)
def verify_command(folder: Path) -> None:
    """Check every byte of the backup in FOLDER, without restoring it. Exit code 1: damaged.

    Checks sizes and SHA-256 of all files, PostgreSQL's manifest and log, SQLite's pages, and the
    chain from its genesis.
    """
    from cinesync.backup.verify import verify  # noqa: PLC0415

    with _one_line(), _bar() as progress:
        manifest, findings = verify(folder, progress)
    for finding in findings:
        click.echo(f"DAMAGED: {finding}")
    if not findings:
        version = manifest.version
        click.echo(f"good: {_point_text(manifest)}, {_size(manifest)}, by CineSync {version}")
    sys.exit(1 if findings else 0)


@backup_group.command("restore")
@click.argument("folder", type=backup_type)
@data_option
def restore_command(folder: Path, data: Path) -> None:
    """Restore the backup in FOLDER to --data, which must be new or empty.

    The databases are as at the backup's point. A new ledger starts, with a genesis that names the
    old one's head; it gets every entry again while the shop sells.
    """
    from cinesync.backup.restore import restore  # noqa: PLC0415

    with _one_line(), readable_books(), _bar() as progress:
        restored = restore(folder, data, progress)
    manifest = restored.contents
    click.echo(f"restored to {restored.folder}: the shop of {_point_text(manifest)}")
    click.echo(f"the new ledger gets {restored.entries} entries again when the shop runs")
    click.echo(f"earlier receipts verify with {restored.earlier / 'genesis.json'}")
    if restored.sent_again:
        click.echo(f"{restored.sent_again} events that not every service had are sent again")
    if restored.charges_cut or restored.refunds_cut:
        click.echo(
            f"{restored.charges_cut} charges and {restored.refunds_cut} refunds that the sandbox"
            " bank made after the point are removed from its books"
        )


@contextmanager
def _one_line() -> Iterator[None]:
    from cinesync.backup.manifest import BackupFailed  # noqa: PLC0415
    from cinesync.validator.provisioning import ProvisioningFailed  # noqa: PLC0415

    try:
        yield
    except (BackupFailed, ProvisioningFailed, PostgresFailed, StartFailed) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename or 'The disk'}: {error.strerror or error}") from error


@contextmanager
def _bar() -> Iterator["ByteProgress"]:
    """A progress bar on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=err, transient=True) as bars:
        task = bars.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total or None)

        yield progress


def _point_text(manifest: "Manifest") -> str:
    return f"{datetime.fromtimestamp(manifest.point_at / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _size(manifest: "Manifest") -> str:
    return f"{manifest.bytes / 1e6:,.1f} MB in {len(manifest.files)} files"
