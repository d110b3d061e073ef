"""The command `cinesync`: one line and exit code 2 for what was asked wrongly."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import rich_click as click
from rich.progress import Progress
from rich.table import Table

from cinesync.cli.audit import audit_command
from cinesync.cli.backup import backup_group
from cinesync.cli.context import (
    Refused,
    clear_settings_errors,
    data_option,
    environ,
    err,
    known_encoding,
    out,
    shop_settings,
)
from cinesync.cli.ledger import ledger_group, validator_command, verify_command
from cinesync.cli.payments import payments_group
from cinesync.cli.staff import staff_group
from cinesync.cli.up import restart_command, up_command
from cinesync.supervisor import private_files

if TYPE_CHECKING:
    from cinesync.chassis.messaging.dead_letters import DeadLetter

# Each service and the port it has by itself.
PORTS = {
    "all": 8000,
    "web": 4000,
    "auth": 4001,
    "movies": 4002,
    "booking": 4003,
    "payment": 4005,
    "ledger": 4006,
}

click.rich_click.COMMAND_GROUPS = {
    "cinesync": [
        {"name": "Run", "commands": ["up", "serve", "validator", "bank"]},
        {"name": "Fill", "commands": ["migrate", "seed", "import"]},
        {
            "name": "Operate",
            "commands": ["restart", "audit", "backup", "queues", "staff", "payments", "settings"],
        },
        {"name": "Prove", "commands": ["verify", "ledger"]},
    ]
}


def run() -> None:
    """The command, with every refusal as one line on stderr and exit code 2.

    What it writes is its owner's alone, whichever part of a shop it runs.
    """
    try:
        with private_files.private():
            sys.exit(main(standalone_mode=False))
    except click.ClickException as error:
        click.echo(f"cinesync: {' '.join(error.format_message().split())}", err=True)
        sys.exit(2)
    except click.Abort:
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cinesync")
def main() -> None:
    """CineSync sells cinema seats: no seat sold twice, no money lost.

    `cinesync up` starts a whole shop on this machine. Commands that look into a shop
    (audit, queues, import, seed) use the one in --data, running or not; with DATABASE_URL set
    they use that server instead.
    """
    from cinesync.chassis import open_files  # noqa: PLC0415 `--help` loads nothing

    open_files.raise_limit()


@main.command("serve")
@click.argument("service", type=click.Choice(tuple(PORTS)))
@click.option("--host", help="Address to listen on [HOST].")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to listen on [PORT; web 4000, auth 4001, movies 4002, booking 4003, payment 4005,"
    " ledger 4006, all 8000].",
)
@click.option("--demo", is_flag=True, help="Keep the demo chain filled, and DEMO_ACCOUNTS made.")
def serve_command(service: str, host: str | None, port: int | None, *, demo: bool) -> None:
    """Run one service, or all of them in one process, on the databases of the environment.

    A service apart from the others needs RABBITMQ_URL, and API_URL, AUTH_URL and BOOKING_URL to
    say where the gateway, or those services, are.

    DATABASE_URL names the server; each service uses its own database there (cinesync_booking …),
    or the one in BOOKING_DATABASE_URL and so on. `cinesync settings` lists all variables.
    """
    import uvloop  # noqa: PLC0415 commands that do not serve start faster without it

    from cinesync import bootstrap  # noqa: PLC0415
    from cinesync.chassis import telemetry  # noqa: PLC0415

    settings = dict(environ())
    settings |= {"HOST": host} if host else {}
    settings["PORT"] = str(port) if port else settings.get("PORT") or str(PORTS[service])
    names = bootstrap.ALL if service == "all" else (service,)
    with clear_settings_errors():
        bootstrap.check_bus(names, settings)
        telemetry.configure_logging(settings.get("LOG_LEVEL") or "INFO")
        uvloop.run(bootstrap.serve(names, settings, demo=demo, on_ready=_print_ready))


@main.command("bank")
@click.option("--port", required=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the bank's books.",
)
@click.option("--webhook-url", required=True, help="Where the shop takes the bank's notices.")
@click.option(
    "--late-seconds",
    envvar="BANK_LATE_SECONDS",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How late the card tok_late is [BANK_LATE_SECONDS].",
)
def bank_command(port: int, data: Path, webhook_url: str, late_seconds: float) -> None:
    """Run the sandbox bank: a fake provider with its own durable books and its own faults.

    It takes no real money. BANK_SECRET signs its webhooks and is the shop's key to it.
    """
    from cinesync.bank.app import Secrets, Settings, run  # noqa: PLC0415
    from cinesync.bank.store import Delays  # noqa: PLC0415
    from cinesync.chassis import telemetry  # noqa: PLC0415
    from cinesync.chassis.settings import load  # noqa: PLC0415

    with clear_settings_errors():
        secret = load(Secrets, environ()).bank_secret
    telemetry.configure_logging(environ().get("LOG_LEVEL") or "INFO")
    delays = Delays(late_seconds=late_seconds)
    run(Settings(port=port, data=data, webhook_url=webhook_url, secret=secret, delays=delays))


@main.group("import")
def import_group() -> None:
    """Bring data in from files."""


@import_group.command("movies")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write one line for every value mended and record refused.",
)
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    callback=known_encoding,
    help="How the file's letters are written; a byte order mark counts for more.",
)
@click.option(
    "--misread",
    type=click.Choice(["mac-roman"]),
    help="Read texts again that somebody read as Mac Roman before: LÈon becomes Léon.",
)
@data_option
def import_movies_command(
    file: Path, report_file: Path | None, encoding: str, misread: str | None, data: Path
) -> None:
    """Import films from FILE, JSON or CSV.

    Cleans what can be cleaned and refuses the rest, naming line, field and what would be right.
    A text that is right stays as it is; each title that was read in another way is told.
    Each batch is all or nothing; importing a file again changes nothing. Exit code 1 when records
    were refused.
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
            raise Refused(str(error)) from error
    if report_file is not None:
        report_file.write_text(
            "".join(
                f"{line}\n" for line in (*report.repairs, *report.doubts, *report.lines(file.name))
            )
        )
    told = [] if report_file else [*report.title_repairs(), *report.doubts]
    for line in [*told, *([] if report_file else report.lines(file.name))]:
        click.echo(line, err=True)
    if report.doubts:
        click.echo("Titles that were read as Mac Roman are mended with --misread mac-roman.")
    click.echo(report.summary())
    sys.exit(1 if report.rejections else 0)


@main.command("seed")
@data_option
def seed_command(data: Path) -> None:
    """Build the demo chain, or top its shows up to two weeks ahead.

    The accounts of the shop's demo are made too, where it has some (DEMO_ACCOUNTS).
    """
    from cinesync import operations  # noqa: PLC0415

    with shop_settings(data) as settings:
        click.echo(asyncio.run(operations.seed(settings)))


@main.command("migrate")
@data_option
def migrate_command(data: Path) -> None:
    """Bring every service's database to the newest revision, creating what is missing."""
    from cinesync import operations  # noqa: PLC0415

    with shop_settings(data) as settings:
        for line in asyncio.run(operations.migrate_all(settings)):
            click.echo(line)


@main.group("queues")
def queues_group() -> None:
    """Events that no consumer could handle: list, show, send round again."""


@queues_group.command("dead")
@data_option
def queues_dead_command(data: Path) -> None:
    """List the dead letters of every queue; exit code 1 when there are any."""
    letters = _dead_letters(data)
    for letter in letters:
        when = letter.died_at.isoformat(timespec="seconds") if letter.died_at else "-"
        click.echo(f"{letter.queue}  {letter.event_id}  {when}  {letter.error}")
    if not letters:
        click.echo("no dead letters")
    sys.exit(1 if letters else 0)


@queues_group.command("show")
@click.argument("event_id", type=click.UUID)
@data_option
def queues_show_command(event_id: UUID, data: Path) -> None:
    """Show one dead letter: its event, and what went wrong."""
    letters = [letter for letter in _dead_letters(data) if letter.event_id == event_id]
    if not letters:
        raise Refused(f"No dead letter has the event id {event_id}; `cinesync queues dead` lists.")
    for letter in letters:
        click.echo(f"queue: {letter.queue}\nevent: {letter.name}\nerror: {letter.error}")
        click.echo(letter.body.decode(errors="replace"))


@queues_group.command("replay")
@click.argument("event_id", type=click.UUID, required=False)
@click.option("--all", "replay_all", is_flag=True, help="Every dead letter.")
@data_option
def queues_replay_command(event_id: UUID | None, data: Path, *, replay_all: bool) -> None:
    """Send a dead letter to its consumer again, or --all. Doubles have no effect."""
    from cinesync import operations  # noqa: PLC0415

    if (event_id is None) != replay_all:
        raise Refused("Name one EVENT_ID, or say --all.")
    with shop_settings(data) as settings:
        replayed = asyncio.run(operations.replay(settings, [event_id] if event_id else None))
    if event_id and not replayed:
        raise Refused(f"No dead letter has the event id {event_id}; `cinesync queues dead` lists.")
    click.echo(f"{replayed} sent round again")


def _dead_letters(data: Path) -> "list[DeadLetter]":
    from cinesync import operations  # noqa: PLC0415

    with shop_settings(data) as settings:
        return asyncio.run(operations.dead_letters(settings))


@main.command("settings")
@click.option("--example", is_flag=True, help="Print a .env file with every variable.")
def settings_command(*, example: bool) -> None:
    """List every environment variable that the processes read."""
    from cinesync import operations  # noqa: PLC0415

    if example:
        click.echo(operations.env_example(), nl=False)
        return
    table = Table("Variable", "Kind", "Default", "Meaning", box=None, header_style="bold")
    for part, docs in operations.all_settings().items():
        table.add_row(f"[bold]{part}[/bold]")
        for doc in docs:
            table.add_row(f"  {doc.name}", doc.kind, doc.default, doc.doc)
    out.print(table)


def _print_ready() -> None:
    click.echo("cinesync-ready")
    sys.stdout.flush()


for command in (
    up_command,
    restart_command,
    audit_command,
    backup_group,
    validator_command,
    verify_command,
    ledger_group,
    staff_group,
    payments_group,
):
    main.add_command(command)


if __name__ == "__main__":
    run()
