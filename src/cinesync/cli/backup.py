"""`cinesync backup`: make one while the shop sells, check it, begin a shop from it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from cinesync.cli.context import Refused, data_option, environ, err, readable_books, shop_settings
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.postgres import PostgresFailed

if TYPE_CHECKING:
    from cinesync.backup.manifest import Manifest, Progress

backup_type = click.Path(path_type=Path, file_okay=False)


@click.group("backup")
def backup_group() -> None:
    """Copies of a whole shop, of one point, that a new folder can begin with."""


@backup_group.command("create")
@click.argument("folder", type=backup_type)
@data_option
def create_command(folder: Path, data: Path) -> None:
    """Copy the shop in --data into FOLDER, running or not: databases, books, secrets, the chain.

    It sells on meanwhile. FOLDER must not be there yet, or be empty. No validator's key is in it.
    """
    from cinesync.backup.create import create  # noqa: PLC0415

    if "DATABASE_URL" in environ():
        raise Refused(
            "`cinesync backup` is of a data folder's own PostgreSQL: for the server in DATABASE_URL"
            " use its own tools, and unset it here."
        )
    with shop_settings(data), _one_line(), _bar() as progress:
        made = create(DataFolder(data), folder, progress)
    click.echo(f"backup of {_moment(made)}: {_size(made)} in {folder}")


@backup_group.command("verify")
@click.argument("folder", type=backup_type)
def verify_command(folder: Path) -> None:
    """Check every byte of the backup in FOLDER, without restoring it. Exit code 1: it is damaged.

    Sizes and SHA-256 of all files, PostgreSQL's own manifest and its log, SQLite's pages, and the
    chain from its genesis on.
    """
    from cinesync.backup.verify import verify  # noqa: PLC0415

    with _one_line(), _bar() as progress:
        kept, findings = verify(folder, progress)
    for finding in findings:
        click.echo(f"DAMAGED: {finding}")
    if not findings:
        click.echo(f"good: a backup of {_moment(kept)}, {_size(kept)}, by CineSync {kept.version}")
    sys.exit(1 if findings else 0)


@backup_group.command("restore")
@click.argument("folder", type=backup_type)
@data_option
def restore_command(folder: Path, data: Path) -> None:
    """Begin a shop in --data from the backup in FOLDER. --data must be empty, or not there yet.

    The databases are as at the backup's point. The ledger begins anew, under a genesis that names
    the old one's head, and takes every entry once more while the shop sells.
    """
    from cinesync.backup.restore import restore  # noqa: PLC0415

    with _one_line(), readable_books(), _bar() as progress:
        restored = restore(folder, data, progress)
    kept = restored.kept
    click.echo(f"restored to {restored.folder}: the shop of {_moment(kept)}")
    click.echo(f"the new ledger takes {restored.entries} entries once more when the shop runs")
    click.echo(f"earlier receipts verify with {restored.earlier / 'genesis.json'}")
    if restored.sent_again:
        click.echo(f"{restored.sent_again} events that not every service had are sent again")
    if restored.charges_cut or restored.refunds_cut:
        click.echo(
            f"after the point the sandbox bank had made {restored.charges_cut} charges and"
            f" {restored.refunds_cut} refunds; they are not in its books any more"
        )


@contextmanager
def _one_line() -> Iterator[None]:
    from cinesync.backup.manifest import BackupFailed  # noqa: PLC0415
    from cinesync.validator.provisioning import ProvisioningFailed  # noqa: PLC0415

    try:
        yield
    except (BackupFailed, ProvisioningFailed, PostgresFailed, StartFailed) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"{error.filename or 'The disk'}: {error.strerror or error}") from error


@contextmanager
def _bar() -> Iterator["Progress"]:
    """What is being done and how much of it is, on stderr."""
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


def _moment(kept: "Manifest") -> str:
    return f"{datetime.fromtimestamp(kept.point_at / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _size(kept: "Manifest") -> str:
    return f"{kept.bytes / 1e6:,.1f} MB in {len(kept.files)} files"
