"""`cinesync staff`: accounts of staff. Passwords are typed, piped or generated, never arguments."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import rich_click as click
from rich.table import Table

from cinesync.cli.context import CommandError, data_option, out, shop_settings
from cinesync.supervisor import demo
from cinesync.supervisor.data_folder import DataFolder

if TYPE_CHECKING:
    from cinesync.auth.model import AccountRole
    from cinesync.chassis.database import Database

T = TypeVar("T")

ROLES = ("staff", "manager", "auditor")

generate_option = click.option(
    "--generate", is_flag=True, help="Generate a password and print it once; else you type one."
)


@click.group("staff")
def staff_group() -> None:
    """Accounts of staff: add, list, disable, reset."""


@staff_group.command("add")
@click.argument("email")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the account may do.")
@click.option("--name", help="Display name; else the part of EMAIL before the @.")
@generate_option
@data_option
def add_command(email: str, role: str, name: str | None, data: Path, *, generate: bool) -> None:
    """Add an account for EMAIL.

    `staff` sells and scans, `manager` also edits films and prices, `auditor` reads everything. You
    type the password twice, or pipe it in.
    """
    from cinesync.auth import staff  # noqa: PLC0415

    password = _password(generate=generate)
    named = name or email.partition("@")[0]
    chosen = cast("AccountRole", role)

    async def work(db: "Database", shop_name: str) -> None:
        await staff.add(db, email, chosen, named, password, shop_name)

    _run(data, work)
    click.echo(f"{email} can sign in as {role}")
    _print_password(password, generate=generate)


@staff_group.command("list")
@data_option
def list_command(data: Path) -> None:
    """List the accounts of staff."""
    from cinesync.auth import staff  # noqa: PLC0415

    accounts = _run(data, lambda db, _: staff.list_all(db))
    if not accounts:
        click.echo("none; `cinesync staff add EMAIL --role manager` adds the first account")
        return
    table = Table("E-mail", "AccountRole", "Name", "State", "Since", box=None, header_style="bold")
    for one in accounts:
        state = "disabled" if one.is_disabled else "active" if one.has_password else "no password"
        table.add_row(one.email, one.role, one.name, state, f"{one.created_at:%Y-%m-%d}")
    out.print(table)


@staff_group.command("disable")
@click.argument("email", required=False)
@click.option("--demo", "of_demo", is_flag=True, help="All demo accounts.")
@data_option
def disable_command(email: str | None, data: Path, *, of_demo: bool) -> None:
    """Disable the account of EMAIL and end its sessions.

    What the account did stays recorded. `cinesync staff reset` enables it again.
    """
    from cinesync.auth import staff  # noqa: PLC0415

    if (email is None) != of_demo:
        raise CommandError("Give one EMAIL, or --demo.")
    if email is not None:
        wanted = email
        account = _run(data, lambda db, _: staff.disable(db, wanted))
        click.echo(f"{account.email} is disabled")
        return
    for account in _run(data, lambda db, _: staff.disable_demo(db)):
        click.echo(f"{account.email} is disabled")
    folder = DataFolder(data).path
    if folder.exists():
        demo.forget_accounts(folder)
    click.echo("there are no demo accounts any more")


@staff_group.command("reset")
@click.argument("email")
@generate_option
@data_option
def reset_command(email: str, data: Path, *, generate: bool) -> None:
    """Set a new password for EMAIL, end its sessions, and enable the account."""
    from cinesync.auth import staff  # noqa: PLC0415

    password = _password(generate=generate)
    account = _run(data, lambda db, shop_name: staff.reset(db, email, password, shop_name))
    click.echo(f"{account.email} has a new password, and can sign in as {account.role}")
    _print_password(password, generate=generate)


def _run(data: Path, work: "Callable[[Database, str], Awaitable[T]]") -> T:
    """Run `work` on the accounts of the shop in `data`; errors are one line."""
    from cinesync import operations  # noqa: PLC0415
    from cinesync.auth.app import shop_name  # noqa: PLC0415
    from cinesync.chassis import telemetry  # noqa: PLC0415
    from cinesync.chassis.problems import Problem  # noqa: PLC0415

    telemetry.configure_logging("WARNING")  # the command itself reports what it did

    def bound(settings: Mapping[str, str]) -> "Callable[[Database], Awaitable[T]]":
        return lambda db: work(db, shop_name(settings))

    with shop_settings(data) as settings:
        try:
            return asyncio.run(operations.with_service("auth", settings, bound(settings)))
        except Problem as problem:
            raise CommandError(problem.detail or problem.title()) from problem


def _password(*, generate: bool) -> str:
    if generate:
        return demo.new_password()
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    piped = sys.stdin.readline().rstrip("\r\n")
    if not piped:
        raise CommandError("No password on standard input: pipe one in, or use --generate.")
    return piped


def _print_password(password: str, *, generate: bool) -> None:
    if generate:
        click.echo(f"password: {password}")
