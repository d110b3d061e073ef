"""`cinesync staff`: who works at a shop. Passwords are typed, piped or made, never arguments."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import rich_click as click
from rich.table import Table

from cinesync.cli.context import Refused, data_option, out, shop_settings
from cinesync.supervisor import demo
from cinesync.supervisor.data_folder import DataFolder

if TYPE_CHECKING:
    from cinesync.auth.model import AccountRole
    from cinesync.chassis.database import Database

T = TypeVar("T")

ROLES = ("staff", "manager", "auditor")

generate_option = click.option(
    "--generate", is_flag=True, help="Make a password and print it once; else it is asked for."
)


@click.group("staff")
def staff_group() -> None:
    """Accounts of those who work at a shop: add, list, disable, give a new password."""


@staff_group.command("add")
@click.argument("email")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What they may do.")
@click.option("--name", help="What they are called; else the part of EMAIL before the @.")
@generate_option
@data_option
def add_command(email: str, role: str, name: str | None, data: Path, *, generate: bool) -> None:
    """Make an account for EMAIL.

    `staff` sells and scans, `manager` also programs films and prices, `auditor` reads everything.
    The password is asked for twice, or read from standard input when that is no terminal.
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
    """List all who may do more than customers."""
    from cinesync.auth import staff  # noqa: PLC0415

    accounts = _run(data, lambda db, _: staff.list_all(db))
    if not accounts:
        click.echo("nobody; `cinesync staff add EMAIL --role manager` makes the first account")
        return
    table = Table("E-mail", "AccountRole", "Name", "State", "Since", box=None, header_style="bold")
    for one in accounts:
        state = "disabled" if one.is_disabled else "active" if one.has_password else "no password"
        table.add_row(one.email, one.role, one.name, state, f"{one.created_at:%Y-%m-%d}")
    out.print(table)


@staff_group.command("disable")
@click.argument("email", required=False)
@click.option("--demo", "of_demo", is_flag=True, help="All accounts that a demo has made.")
@data_option
def disable_command(email: str | None, data: Path, *, of_demo: bool) -> None:
    """End the account of EMAIL: nobody signs in with it, and its sessions are over.

    What the account did stays in the books. `cinesync staff reset` opens it again.
    """
    from cinesync.auth import staff  # noqa: PLC0415

    if (email is None) != of_demo:
        raise Refused("Name one EMAIL, or say --demo.")
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
    """Give EMAIL a new password; its sessions end, and a disabled account works again."""
    from cinesync.auth import staff  # noqa: PLC0415

    password = _password(generate=generate)
    account = _run(data, lambda db, shop_name: staff.reset(db, email, password, shop_name))
    click.echo(f"{account.email} has a new password, and can sign in as {account.role}")
    _print_password(password, generate=generate)


def _run(data: Path, work: "Callable[[Database, str], Awaitable[T]]") -> T:
    """On the accounts of the shop in `data`; what is refused is one line."""
    from cinesync import operations  # noqa: PLC0415
    from cinesync.auth.app import shop_name  # noqa: PLC0415
    from cinesync.chassis import telemetry  # noqa: PLC0415
    from cinesync.chassis.problems import Problem  # noqa: PLC0415

    telemetry.configure_logging("WARNING")  # what is done here is told in our own words

    def bound(settings: Mapping[str, str]) -> "Callable[[Database], Awaitable[T]]":
        return lambda db: work(db, shop_name(settings))

    with shop_settings(data) as settings:
        try:
            return asyncio.run(operations.with_service("auth", settings, bound(settings)))
        except Problem as problem:
            raise Refused(problem.detail or problem.title()) from problem


def _password(*, generate: bool) -> str:
    if generate:
        return demo.new_password()
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    piped = sys.stdin.readline().rstrip("\r\n")
    if not piped:
        raise Refused("A password is read from standard input: pipe one in, or say --generate.")
    return piped


def _print_password(password: str, *, generate: bool) -> None:
    if generate:
        click.echo(f"password: {password}")
