"""`cinesync migrate` and `cinesync settings`."""

import asyncio
from pathlib import Path

import rich_click as click
from rich.table import Table

from cinesync.cli.context import data_option, out, shop_settings


@click.command("migrate")
@data_option
def migrate_command(data: Path) -> None:
    """Create and migrate every service's database, and declare RabbitMQ's queues."""
    from cinesync import operations  # noqa: PLC0415

    with shop_settings(data) as settings:
        for line in asyncio.run(operations.migrate_all(settings)):
            click.echo(line)


@click.command("settings")
@click.option("--example", is_flag=True, help="Print a .env file with every variable.")
def settings_command(*, example: bool) -> None:
    """List all environment variables of all processes."""
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
