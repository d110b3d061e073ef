"""Shared by all commands: errors, the --data option, the settings of a shop."""

import asyncio
import codecs
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import rich_click as click
from rich.console import Console

from cinesync.supervisor.embedded import shop_environ
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.postgres import PostgresFailed

DEFAULT_DATA = Path("~/.cinesync")

out = Console()
err = Console(stderr=True)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA,
    show_default=True,
    help="Folder with the shop's databases, books, logs and secrets.",
)


class CommandError(click.ClickException):
    """The command cannot be run; one line says why."""


def known_encoding(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Python's name of the encoding. Raises click.BadParameter."""
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except LookupError as error:
        raise click.BadParameter(
            f"{name} is not a text encoding; try utf-8, utf-16, cp1252, mac-roman, …"
        ) from error


def say(what: str) -> None:
    """Report progress on stderr."""
    err.print(f"[dim]cinesync:[/dim] {what}", highlight=False)


def environ() -> Mapping[str, str]:
    """The one place where the environment is read."""
    return os.environ  # noqa: TID251


@contextmanager
def shop_settings(data: Path) -> Iterator[Mapping[str, str]]:
    """The settings of the shop in `data`, or of the environment's server."""
    from cinesync.chassis import telemetry  # noqa: PLC0415

    telemetry.configure_logging("WARNING")  # the command itself reports what it did
    try:
        with shop_environ(data, environ()) as settings, clear_settings_errors():
            if environ().get("DATABASE_URL"):
                _check_databases(settings)
            yield settings
    except (StartFailed, PostgresFailed) as error:
        raise CommandError(str(error)) from error


def _check_databases(settings: Mapping[str, str]) -> None:
    """Report an unreachable database within seconds. Raises CommandError."""
    from cinesync.bootstrap import SERVICES, environ_of  # noqa: PLC0415
    from cinesync.chassis.database.url import unreachable  # noqa: PLC0415

    async def check() -> list[str | None]:
        urls = {environ_of(service, settings)["DATABASE_URL"] for service in SERVICES}
        return await asyncio.gather(*(unreachable(url) for url in sorted(urls)))

    if trouble := next(filter(None, asyncio.run(check())), None):
        raise CommandError(f"DATABASE_URL: {trouble}.")


@contextmanager
def readable_books() -> Iterator[None]:
    """Report unreachable, empty or outdated databases in one line."""
    import asyncpg  # noqa: PLC0415 `up` starts faster without it
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from cinesync.chassis.problems import Unavailable  # noqa: PLC0415

    drivers = (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError)
    try:
        yield
    except (Unavailable, OSError, *drivers) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        hint = "is the database reachable, and migrated (`cinesync migrate`)?"
        raise CommandError(f"The books cannot be read: {said}; {hint}") from error


@contextmanager
def clear_settings_errors() -> Iterator[None]:
    """Report missing and malformed settings in one line."""
    from cinesync.chassis.settings import SettingsError  # noqa: PLC0415

    try:
        yield
    except SettingsError as error:
        raise CommandError(str(error)) from error
