"""`cinesync serve` and `cinesync bank`: one process of a shop."""

import sys
from pathlib import Path

import rich_click as click

from cinesync.cli.context import clear_settings_errors, environ

# The default port of each service.
PORTS = {
    "all": 8000,
    "web": 4000,
    "auth": 4001,
    "movies": 4002,
    "booking": 4003,
    "payment": 4005,
    "ledger": 4006,
}


@click.command("serve")
@click.argument("service", type=click.Choice(tuple(PORTS)))
@click.option("--host", help="Address to listen on [HOST].")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to listen on [PORT; web 4000, auth 4001, movies 4002, booking 4003, payment 4005,"
    " ledger 4006, all 8000].",
)
@click.option("--demo", is_flag=True, help="Add the demo chain, and its accounts (DEMO_ACCOUNTS).")
def serve_command(service: str, host: str | None, port: int | None, *, demo: bool) -> None:
    """Run one service, or all of them in one process, on the databases of the environment.

    A single service needs RABBITMQ_URL, and the addresses of the others: API_URL, AUTH_URL,
    BOOKING_URL.

    DATABASE_URL names the server; each service uses its own database there (cinesync_booking …),
    or that of BOOKING_DATABASE_URL and so on. `cinesync settings` lists all variables.
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


@click.command("bank")
@click.option("--port", required=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the bank's books.",
)
@click.option("--webhook-url", required=True, help="The shop's URL for the bank's webhooks.")
@click.option(
    "--late-seconds",
    envvar="BANK_LATE_SECONDS",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Delay of the card tok_late [BANK_LATE_SECONDS].",
)
def bank_command(port: int, data: Path, webhook_url: str, late_seconds: float) -> None:
    """Run the sandbox bank: a fake payment provider with durable books and simulated faults.

    It takes no real money. BANK_SECRET signs its webhooks, and is the shop's API key.
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


def _print_ready() -> None:
    click.echo("cinesync-ready")
    sys.stdout.flush()
