"""The services of one process: which ones, on which databases and bus, with or without pages.

Services are imported when they are created: a process with one service starts faster.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, cast

from litestar.types import ASGIApp, Receive, Scope, Send

from cinesync.chassis import clock, settings, telemetry
from cinesync.chassis.database import Database
from cinesync.chassis.database.url import with_database
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.chassis.messaging.bus import Bus, EmbeddedBus
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.process import Process, ProcessSettings, Service
from cinesync.contracts import CONSUMERS

if TYPE_CHECKING:
    from a2wsgi.wsgi_typing import WSGIApp
    from flask import Flask


SERVICES = ("auth", "movies", "booking", "payment", "ledger")
ALL = (*SERVICES, "web")
PAGE_THREADS = 16
EXCHANGE_NAME = r"[\w.-]{1,80}"
SHOP_NAME = r"[A-Za-z0-9-]{1,40}"

QUEUES_OF = {
    event.name: [f"{name}.{event.name}" for name in names] for event, names in CONSUMERS.items()
}
QUEUES = list(chain.from_iterable(QUEUES_OF.values()))

log = telemetry.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Which bus carries the events."""

    rabbitmq_url: Annotated[str, "amqp[s]://…; empty: the embedded bus"] = ""
    rabbitmq_exchange: Annotated[
        str, "what the names of exchanges and queues begin with, before SHOP_ID"
    ] = "cinema.events"
    shop_id: Annotated[
        str, "names this shop in the broker: needed with RABBITMQ_URL, the same in every process"
    ] = ""

    def __post_init__(self) -> None:
        """Raises SettingsError."""
        if not re.fullmatch(EXCHANGE_NAME, self.rabbitmq_exchange, re.ASCII):
            raise settings.SettingsError(
                "RABBITMQ_EXCHANGE takes up to 80 letters, digits, dots, hyphens and underscores"
            )
        if self.shop_id and not re.fullmatch(SHOP_NAME, self.shop_id, re.ASCII):
            raise settings.SettingsError("SHOP_ID takes up to 40 letters, digits and hyphens")
        if self.rabbitmq_url and not self.shop_id:
            raise settings.SettingsError(
                "SHOP_ID is not set: it names this shop's exchange and queues in the broker, where"
                " others may have theirs; choose a name, the same for every process of the shop"
            )


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Optional in a process whose services do not need it."""

    secret_key: Annotated[str, "signs the visitors' addresses", settings.Secret()] = ""


def environ_of(service: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """A service's own DATABASE_URL: `<SERVICE>_DATABASE_URL`, or the database cinesync_<service>.

    The shared DATABASE_URL names a server; a database it names is replaced.
    """
    own = environ.get(f"{service.upper()}_DATABASE_URL")
    if not own:
        server = environ.get("DATABASE_URL", "")
        own = with_database(server, f"cinesync_{service}") if server else ""
    return {**environ, "DATABASE_URL": own}


def create_services(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, Service]:
    """The named services, each on its own database. Raises SettingsError."""
    return {name: _create(name, environ_of(name, environ)) for name in names if name in SERVICES}


def _create(name: str, environ: Mapping[str, str]) -> Service:
    app = service_module(name)
    service: Service = app.create(settings.load(app.Settings, environ))
    return service


def service_module(name: str) -> Any:
    """`cinesync.<name>.app`: every one has `Settings` and `create(settings)`."""
    return import_module(f"cinesync.{name}.app")


def create_pages(environ: Mapping[str, str], revocations: Revocations) -> ASGIApp:
    """The pages, which share the ended sessions with their process. Raises SettingsError."""
    app = service_module("web")
    return pages_as_asgi(app.create(settings.load(app.Settings, environ), revocations=revocations))


def check_bus(names: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raises SettingsError when some services, not all, have no broker: no event would leave."""
    chosen = set(names) & set(SERVICES)
    if chosen and chosen != set(SERVICES) and not settings.load(BusSettings, environ).rabbitmq_url:
        raise settings.SettingsError(
            "RABBITMQ_URL is not set: services in processes of their own reach each other's"
            " events only through a broker"
        )


async def serve(
    names: Sequence[str],
    environ: Mapping[str, str],
    *,
    demo: bool = False,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the named services in this process until a signal stops it; `demo` seeds them first."""
    process_settings = settings.load(ProcessSettings, environ)
    secret_key = settings.load(SharedSecret, environ).secret_key
    services = create_services(names, environ)
    # In one process with the auth service, pages know at once which sessions have ended.
    published = (service.revocations for service in services.values())
    revocations = next((one for one in published if one is not None), Revocations())
    pages = create_pages(environ, revocations) if "web" in names else None
    bus = open_bus(environ) if services else EmbeddedBus()  # pages use no bus
    addresses = ClientAddresses(
        process_settings.trusted_proxies,
        secret_key,
        key=process_settings.visitor_key,
    )
    process = Process(list(services.values()), process_settings, bus, pages, addresses, revocations)

    async def prepare_all() -> None:
        if "auth" in services:
            await prepare_accounts(services["auth"].database, environ, demo=demo)
        if demo and "movies" in services:
            await _seed(services["movies"].database)

    await process.run(prepare_all, on_ready)


async def prepare_accounts(db: Database, environ: Mapping[str, str], *, demo: bool) -> None:
    """Replaces published passwords; with `demo`, creates the demo's accounts (DEMO_ACCOUNTS)."""
    from cinesync.auth import staff  # noqa: PLC0415

    for email in await staff.retire_published_password(db):
        log.warning("account.published_password_retired", email=email)
    if demo:
        await staff.seed_demo(db, service_module("auth").demo_accounts(environ))


def pages_as_asgi(pages: "Flask") -> ASGIApp:
    """The storefront in threads, behind the cache of pages that are the same for all visitors.

    a2wsgi passes what `receive` returns from a thread to the event loop, which takes coroutines
    only; Granian's `receive` returns another awaitable, so every form would raise a TypeError.
    """
    from a2wsgi import WSGIMiddleware  # noqa: PLC0415

    from cinesync.web.page_cache import PageCache  # noqa: PLC0415

    wsgi_app = cast("WSGIApp", pages)
    bridge = cast("ASGIApp", WSGIMiddleware(wsgi_app, workers=PAGE_THREADS))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_coroutine() -> Any:
            return await receive()

        await bridge(scope, receive_coroutine, send)

    return PageCache(app)


def open_bus(environ: Mapping[str, str]) -> Bus:
    """The bus that the settings choose, not connected yet."""
    chosen = settings.load(BusSettings, environ)
    if not chosen.rabbitmq_url:
        return EmbeddedBus()
    return RabbitMqBus(
        chosen.rabbitmq_url,
        exchange=chosen.rabbitmq_exchange,
        shop=chosen.shop_id,
        consumers=QUEUES_OF,
    )


async def _seed(movies: Database) -> None:
    """The demo chain with two weeks of shows ahead."""
    from cinesync.movies.demo.seeding import seed_chain  # noqa: PLC0415

    await seed_chain(movies, clock.now().date())
