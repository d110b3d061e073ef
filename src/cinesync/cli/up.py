"""`cinesync up`, and `cinesync restart` of a running shop."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import rich_click as click
from rich.table import Table

from cinesync.cli.context import CommandError, data_option, environ, err, say
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.demo import Exposure
from cinesync.supervisor.demo import read as read_demo
from cinesync.supervisor.embedded import up
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.ports import ListenAddress


@click.command("up")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port of storefront and APIs.",
)
@click.option(
    "--split", is_flag=True, help="A process for each service, behind Caddy [RABBITMQ_URL]."
)
@click.option(
    "--replicas",
    "replicas",
    multiple=True,
    metavar="SERVICE=N",
    help="With --split: N processes of a service; repeatable.",
)
@click.option("--plain", is_flag=True, help="With --split: HTTP without TLS, on loopback only.")
@click.option("--demo", is_flag=True, help="Add demo data; a new shop on loopback has it.")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of it does TLS [SHOP_URL].")
@data_option
def up_command(
    host: str,
    port: int,
    replicas: Sequence[str],
    data: Path,
    *,
    split: bool,
    plain: bool,
    demo: bool,
    behind_proxy: bool,
) -> None:
    """Run a shop in the foreground: storefront, APIs, PostgreSQL and a sandbox bank.

    The first start on loopback adds films, theaters, two weeks of shows, and demo accounts. On
    another --host a shop starts empty (--demo adds films and shows), and never has demo accounts;
    `cinesync staff add` creates real ones. Ctrl-C stops it; a kill loses nothing that was
    acknowledged. Several shops run side by side, each with its own --port and --data. With --split
    each service is a process of its own behind Caddy, with TLS and HTTP/2; events go through
    RabbitMQ.
    """
    address = ListenAddress(host, port)
    counts = _counts(replicas)
    if (counts or plain) and not split:
        raise CommandError("--replicas and --plain belong to --split.")
    try:
        exposure = Exposure(address, demo, behind_proxy, has_tls=split and not plain)
        exposure.check()
        welcome = partial(_welcome, data)
        if not split:
            up(data, address, environ(), say, welcome, exposure)
            return
        from cinesync.supervisor.split import SplitOptions, up_split  # noqa: PLC0415 an embedded shop needs no Caddy

        up_split(data, address, environ(), SplitOptions(counts, plain), say, welcome, exposure)
    except StartFailed as error:
        raise CommandError(str(error)) from error


def _counts(replicas: Sequence[str]) -> Mapping[str, int]:
    counts = {}
    for option in replicas:
        service, _, count = option.partition("=")
        if not count.isdecimal():
            raise CommandError(f"--replicas takes SERVICE=N, like booking=2, not {option}.")
        counts[service] = int(count)
    return counts


@click.command("restart")
@click.argument("service")
@data_option
def restart_command(service: str, data: Path) -> None:
    """Restart SERVICE of a running split shop, one replica after the other.

    A new process is ready before an old one ends: no request fails. SERVICE: auth, movies, booking,
    payment, ledger or web.
    """
    from cinesync.supervisor.control_socket import CommandFailed, send_command  # noqa: PLC0415

    facts = DataFolder(data).running()
    if "control" not in facts:
        raise CommandError(f"No split shop runs on {data}; `cinesync up --split` starts one.")
    try:
        send_command(Path(facts["control"]), "restart", service, click.echo)
    except CommandFailed as error:
        raise CommandError(str(error)) from error


def _welcome(data: Path, url: str, authority: Path | None = None) -> None:
    click.echo(f"ready: {url}")
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("Shop", url)
    if authority is not None:
        table.add_row("Trust", f"{authority}  (this shop's own CA)")
    demo = read_demo(DataFolder(data).path)
    for number, (email, password) in enumerate(demo.accounts.items() if demo else ()):
        table.add_row("" if number else "Sign in as", f"{email}  (password: {password})")
    if not demo or not demo.accounts:
        table.add_row("Staff", "cinesync staff add EMAIL --role manager  (with the same --data)")
    table.add_row("APIs", f"{url}/api/booking/docs  (auth, movies, payment, ledger)")
    if environ().get("STRIPE_SECRET_KEY"):
        table.add_row("Payments", "Stripe: no sandbox bank, and no test cards")
    else:
        table.add_row("Payments", "sandbox bank: test cards, no real money")
        table.add_row("Try", "pick a film, choose seats, pay with a test card, cancel it again")
    if not demo or not demo.chain:
        table.add_row("Fill", "cinesync import movies FILE, or cinesync seed for a demo's films")
    table.add_row("Prove", "cinesync audit  (in another terminal, with the same --data)")
    err.print(table)
    err.print("[dim]Ctrl-C stops it.[/dim]")
