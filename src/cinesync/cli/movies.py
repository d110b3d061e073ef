"""`cinesync import movies` and `cinesync seed`: films and the demo chain."""

import asyncio
import sys
from pathlib import Path

import rich_click as click
from rich.progress import Progress

from cinesync.cli.context import CommandError, data_option, err, known_encoding, shop_settings


@click.group("import")
def import_group() -> None:
    """Import data from files."""


@import_group.command("movies")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write a line for each corrected value and each rejected record.",
)
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    callback=known_encoding,
    help="The file's encoding; a byte order mark overrides it.",
)
@click.option(
    "--misread",
    type=click.Choice(["mac-roman"]),
    help="Correct texts that were once decoded as Mac Roman: LÈon becomes Léon.",
)
@data_option
def import_movies_command(
    file: Path, report_file: Path | None, encoding: str, misread: str | None, data: Path
) -> None:
    """Import films from FILE, JSON or CSV.

    Corrects what it can and rejects the rest, with line, field and the expected value. Correct
    texts stay as they are; each corrected title is printed. Each batch is all or nothing;
    importing a file again changes nothing. Exit code 1 when records were rejected.
    """
    from cinesync import operations  # noqa: PLC0415
    from cinesync.movies.importing.importer import ImportReport, import_movies  # noqa: PLC0415
    from cinesync.movies.importing.record_reader import BrokenFile  # noqa: PLC0415
    from cinesync.movies.text import Misread  # noqa: PLC0415

    with shop_settings(data) as settings, Progress(console=err, transient=True) as progress:
        task = progress.add_task(f"importing {file.name}", total=None)
        report = ImportReport(
            on_progress=lambda r: progress.update(
                task, total=r.record_count, completed=r.read_count
            )
        )
        try:
            asyncio.run(
                operations.with_service(
                    "movies",
                    settings,
                    lambda db: import_movies(
                        db,
                        file,
                        report,
                        encoding=encoding,
                        misread=Misread(misread) if misread else None,
                    ),
                )
            )
        except BrokenFile as error:
            raise CommandError(str(error)) from error
    if report_file is not None:
        report_file.write_text(
            "".join(
                f"{line}\n" for line in (*report.repairs, *report.doubts, *report.lines(file.name))
            )
        )
    titles = [] if report_file else [*report.title_repairs(), *report.doubts]
    for line in [*titles, *([] if report_file else report.lines(file.name))]:
        click.echo(line, err=True)
    if report.doubts:
        click.echo("--misread mac-roman corrects titles that were once decoded as Mac Roman.")
    click.echo(report.summary())
    sys.exit(1 if report.rejections else 0)


@click.command("seed")
@data_option
def seed_command(data: Path) -> None:
    """Add the demo chain, or its shows of the next two weeks, and the demo's accounts."""
    from cinesync import operations  # noqa: PLC0415

    with shop_settings(data) as settings:
        click.echo(asyncio.run(operations.seed(settings)))
