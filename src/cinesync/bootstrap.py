"""The services of one process: which ones, on which databases and bus, with or without pages.

Services are loaded when they are needed: a process of one service starts sooner without the rest.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast
from uuid import UUID

from litestar.types import ASGIApp, Receive, Scope, Send

from cinesync.chassis import clock, settings, telemetry
from cinesync.chassis.database import Database, migrations, open_database
from cinesync.chassis.database.identity import identify
from cinesync.chassis.database.url import with_database
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.chassis.log_retention import LogRetention, SupervisorMetrics
from cinesync.chassis.messaging.bus import Bus, EmbeddedBus
from cinesync.chassis.messaging.dead_letters import DatabaseDeadLetters, DeadLetter, DeadLetters
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.messaging.rabbitmq.dead_letters import BrokerDeadLetters
from cinesync.chassis.process import Process, ProcessSettings, Service
from cinesync.contracts import CONSUMERS

if TYPE_CHECKING:
    from a2wsgi.wsgi_typing import WSGIApp
    from flask import Flask

    from cinesync.audit.sources import AuditSources

SERVICES = ("auth", "movies", "booking", "payment", "ledger")
ALL = (*SERVICES, "web")
PAGE_THREADS = 16
EXCHANGE_NAME = r"[\w.-]{1,80}"
SHOP_NAME = r"[A-Za-z0-9-]{1,40}"

T = TypeVar("T")

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
    """What any process may be given, beside those whose services need it."""

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


def build_services(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, Service]:
    """The named services, each on its own database."""
    return {name: _app(name).build(environ_of(name, environ)) for name in names if name in SERVICES}


def _app(name: str) -> Any:
    """`cinesync.<name>.app`, loaded now."""
    return import_module(f"cinesync.{name}.app")


def check_bus(names: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raises SettingsError: the embedded bus would not carry events out of this process."""
    apart = set(names) & set(SERVICES)
    if apart and apart != set(SERVICES) and not settings.load(BusSettings, environ).rabbitmq_url:
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
    """Run the named services in this process until it is told to stop; `demo` fills them first."""
    process_settings = settings.load(ProcessSettings, environ)
    secret_key = settings.load(SharedSecret, environ).secret_key
    services = build_services(names, environ)
    # The pages of an embedded shop know at once which sessions end.
    known = (service.revocations for service in services.values())
    revocations = next((one for one in known if one is not None), Revocations())
    pages = None
    if "web" in names:
        pages = as_asgi(_app("web").build(environ, revocations))
    bus = _bus(environ) if services else EmbeddedBus()  # pages alone hear and say nothing
    addresses = ClientAddresses(
        process_settings.trusted_proxies,
        secret_key,
        key=process_settings.visitor_key,
    )
    process = Process(list(services.values()), process_settings, bus, pages, addresses, revocations)

    async def prepare_all() -> None:
        if "auth" in services:
            await _prepare_accounts(services["auth"].database, environ, demo=demo)
        if demo and "movies" in services:
            await _fill(services["movies"].database)

    await process.run(prepare_all, on_ready)


async def with_books(
    environ: Mapping[str, str], look: Callable[["AuditSources"], Awaitable[T]]
) -> T:
    """Open every database, the providers and the broker, look, close."""
    from cinesync.audit.sources import AuditSettings, AuditSources  # noqa: PLC0415
    from cinesync.payment import app as payment  # noqa: PLC0415

    chosen = settings.load(AuditSettings, environ)
    databases = _databases(environ)
    gateways = payment.build_gateways(
        settings.load(payment.Settings, environ_of("payment", environ))
    )
    broker = _broker_letters(environ)
    books = AuditSources(
        databases,
        gateways,
        broker,
        QUEUES,
        _ledger_folder(environ),
        is_running=chosen.shop_is_running,
        has_broker=chosen.shop_has_broker,
        overdue_seconds=chosen.audit_overdue_seconds,
    )
    try:
        return await look(books)
    finally:
        for gateway in gateways.values():
            await gateway.close()
        for db in databases.values():
            await db.close()
        if broker is not None:
            await broker.close()


def _databases(environ: Mapping[str, str]) -> dict[str, Database]:
    return {name: open_database(environ_of(name, environ)["DATABASE_URL"]) for name in SERVICES}


def _broker_letters(environ: Mapping[str, str]) -> BrokerDeadLetters | None:
    chosen = settings.load(BusSettings, environ)
    if not chosen.rabbitmq_url:
        return None
    return BrokerDeadLetters(
        chosen.rabbitmq_url, exchange=chosen.rabbitmq_exchange, shop=chosen.shop_id
    )


def _ledger_folder(environ: Mapping[str, str]) -> Path | None:
    """Where the validators' homes are, when they are on this machine."""
    home = environ.get("LEDGER_HOME")
    folder = Path(home).parent if home else None
    return folder if folder and folder.exists() else None


async def with_service(
    name: str, environ: Mapping[str, str], work: Callable[[Database], Awaitable[T]]
) -> T:
    """Open one service's database, migrated; work on it; close."""
    db = open_database(environ_of(name, environ)["DATABASE_URL"])
    try:
        await _migrate(name, db)
        return await work(db)
    finally:
        await db.close()


async def _migrate(name: str, db: Database) -> None:
    await migrations.create_if_missing(db)
    await migrations.upgrade(db, f"cinesync.{name}.migrations", "command line")


async def migrate_all(environ: Mapping[str, str]) -> list[str]:
    """Every service's database at its newest revision, and the broker's queues; a line for each."""
    lines = []
    bus = _bus(environ)
    try:
        for name in SERVICES:
            database = await with_service(
                name, environ, lambda db: db.run(identify, clock.new_id())
            )
            bus.own(name, database)
            lines.append(f"{name}: {migrations.newest(f'cinesync.{name}.migrations')}")
        if isinstance(bus, RabbitMqBus):
            lines.append(f"RabbitMQ: {await bus.declare()} queues")
    finally:
        await bus.close()
    return lines


async def seed(environ: Mapping[str, str]) -> str:
    """The demo chain and its accounts; what was added, in a sentence."""
    from cinesync.movies.demo.seeding import Seeded, seed_chain  # noqa: PLC0415

    async def chain(db: Database) -> Seeded:
        return await seed_chain(db, clock.now().date())

    seeded = await with_service("movies", environ, chain)
    await with_service("auth", environ, partial(_prepare_accounts, environ=environ, demo=True))
    return f"added {seeded.movies} movies, {seeded.theaters} theaters and {seeded.shows} shows"


async def _prepare_accounts(db: Database, environ: Mapping[str, str], *, demo: bool) -> None:
    """No account keeps a password that was published; a demo's have those of its folder."""
    from cinesync.auth import staff  # noqa: PLC0415

    for email in await staff.retire_published_password(db):
        log.warning("account.published_password_retired", email=email)
    if demo:
        await staff.seed_demo(db, _app("auth").demo_accounts(environ))


async def dead_letters(environ: Mapping[str, str]) -> list[DeadLetter]:
    """Of every queue of every service."""
    return await _with_letters(environ, lambda letters: letters.waiting(QUEUES))


async def replay(environ: Mapping[str, str], event_ids: Collection[UUID] | None) -> int:
    """Send these, or all, round again; how many."""

    async def work(letters: DeadLetters) -> int:
        return sum([await letters.replay(queue, event_ids) for queue in QUEUES])

    return await _with_letters(environ, work)


async def _with_letters(
    environ: Mapping[str, str], work: Callable[[DeadLetters], Awaitable[T]]
) -> T:
    broker = _broker_letters(environ)
    if broker is not None:
        try:
            return await work(broker)
        finally:
            await broker.close()
    databases = _databases(environ)
    try:
        return await work(DatabaseDeadLetters(databases))
    finally:
        for db in databases.values():
            await db.close()


QUEUES_OF = {
    event.name: [f"{name}.{event.name}" for name in names] for event, names in CONSUMERS.items()
}
QUEUES = list(chain.from_iterable(QUEUES_OF.values()))


def all_settings() -> dict[str, list[settings.SettingDoc]]:
    """What each part reads from the environment."""
    from cinesync.audit.sources import AuditSettings  # noqa: PLC0415

    kinds: dict[str, type[Any]] = {"every process": ProcessSettings, "the bus": BusSettings}
    kinds |= {name: _app(name).Settings for name in ALL}
    kinds["the audit"] = AuditSettings
    kinds |= {"the logs of `cinesync up`": LogRetention, "its metrics": SupervisorMetrics}
    return {part: settings.describe(kind) for part, kind in kinds.items()}


def env_example() -> str:
    """`.env.example`: every variable once, with its default and meaning.

    All are comments, so that the file as it is changes nothing: a port, say, is each service's own.
    """
    lines: list[str] = []
    seen: set[str] = set()
    for part, docs in all_settings().items():
        lines.append(f"\n# --- {part}\n" if lines else f"# --- {part}\n")
        for doc in docs:
            if doc.name not in seen:
                seen.add(doc.name)
                is_required = doc.default == "required"
                value = "" if is_required else doc.default.strip("'")
                must = "; must be set" if is_required else ""
                lines.append(f"# {doc.doc} ({doc.kind}{must})\n#{doc.name}={value}\n")
    return "".join(lines)


def as_asgi(pages: "Flask") -> ASGIApp:
    """The storefront in its threads, behind the pages that are the same for everybody.

    a2wsgi hands what `receive` returns to the event loop from a thread, which takes a coroutine;
    Granian's is a bare awaitable, so every form would end in a TypeError.
    """
    from a2wsgi import WSGIMiddleware  # noqa: PLC0415

    from cinesync.web.page_cache import Front  # noqa: PLC0415

    wsgi_app = cast("WSGIApp", pages)
    bridge = cast("ASGIApp", WSGIMiddleware(wsgi_app, workers=PAGE_THREADS))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_in_a_coroutine() -> Any:
            return await receive()

        await bridge(scope, receive_in_a_coroutine, send)

    return Front(app)


def _bus(environ: Mapping[str, str]) -> Bus:
    chosen = settings.load(BusSettings, environ)
    if not chosen.rabbitmq_url:
        return EmbeddedBus()
    return RabbitMqBus(
        chosen.rabbitmq_url,
        exchange=chosen.rabbitmq_exchange,
        shop=chosen.shop_id,
        consumers=QUEUES_OF,
    )


async def _fill(movies: Database) -> None:
    """The demo chain with two weeks of shows ahead."""
    from cinesync.movies.demo.seeding import seed_chain  # noqa: PLC0415

    await seed_chain(movies, clock.now().date())
