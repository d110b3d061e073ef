"""What operators do with a shop: migrate, seed and audit it, replay dead letters, list settings."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from cinesync.bootstrap import (
    ALL,
    QUEUES,
    SERVICES,
    BusSettings,
    environ_of,
    open_bus,
    prepare_accounts,
    service_module,
)
from cinesync.chassis import clock, settings
from cinesync.chassis.database import Database, migrations, open_database
from cinesync.chassis.database.identity import identify
from cinesync.chassis.messaging.dead_letters import DatabaseDeadLetters, DeadLetter, DeadLetters
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.messaging.rabbitmq.dead_letters import BrokerDeadLetters
from cinesync.chassis.process import ProcessSettings
from cinesync.chassis.telemetry.log_retention import LogRetention, SupervisorMetrics

if TYPE_CHECKING:
    from cinesync.audit.sources import AuditSources

T = TypeVar("T")


async def with_service(
    name: str, environ: Mapping[str, str], work: Callable[[Database], Awaitable[T]]
) -> T:
    """The result of `work` on one service's database, which is migrated first."""
    db = open_database(environ_of(name, environ)["DATABASE_URL"])
    try:
        await migrations.create_if_missing(db)
        await migrations.upgrade(db, f"cinesync.{name}.migrations", "command line")
        return await work(db)
    finally:
        await db.close()


async def migrate_all(environ: Mapping[str, str]) -> list[str]:
    """Every service's database at its newest revision, and the broker's queues; a line for each."""
    lines = []
    bus = open_bus(environ)
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
    """Adds the demo chain and its accounts; a sentence that says what was added."""
    from cinesync.movies.demo.seeding import Seeded, seed_chain  # noqa: PLC0415

    async def chain(db: Database) -> Seeded:
        return await seed_chain(db, clock.now().date())

    seeded = await with_service("movies", environ, chain)
    await with_service("auth", environ, partial(prepare_accounts, environ=environ, demo=True))
    return f"added {seeded.movies} movies, {seeded.theaters} theaters and {seeded.shows} shows"


async def with_audit_sources(
    environ: Mapping[str, str], work: Callable[["AuditSources"], Awaitable[T]]
) -> T:
    """The result of `work` on every database, the payment providers and the broker."""
    from cinesync.audit.sources import AuditSettings, AuditSources  # noqa: PLC0415
    from cinesync.payment import app as payment  # noqa: PLC0415

    chosen = settings.load(AuditSettings, environ)
    databases = _open_databases(environ)
    gateways = payment.build_gateways(
        settings.load(payment.Settings, environ_of("payment", environ))
    )
    broker = _open_broker(environ)
    sources = AuditSources(
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
        return await work(sources)
    finally:
        for gateway in gateways.values():
            await gateway.close()
        for db in databases.values():
            await db.close()
        if broker is not None:
            await broker.close()


def _open_databases(environ: Mapping[str, str]) -> dict[str, Database]:
    return {name: open_database(environ_of(name, environ)["DATABASE_URL"]) for name in SERVICES}


def _open_broker(environ: Mapping[str, str]) -> BrokerDeadLetters | None:
    chosen = settings.load(BusSettings, environ)
    if not chosen.rabbitmq_url:
        return None
    return BrokerDeadLetters(
        chosen.rabbitmq_url, exchange=chosen.rabbitmq_exchange, shop=chosen.shop_id
    )


def _ledger_folder(environ: Mapping[str, str]) -> Path | None:
    """The folder with the validators' homes, when they are on this machine."""
    home = environ.get("LEDGER_HOME")
    folder = Path(home).parent if home else None
    return folder if folder and folder.exists() else None


async def dead_letters(environ: Mapping[str, str]) -> list[DeadLetter]:
    """Those of every queue of every service."""
    return await _with_dead_letters(environ, lambda letters: letters.waiting(QUEUES))


async def replay(environ: Mapping[str, str], event_ids: Collection[UUID] | None) -> int:
    """Sends these dead letters, or all, to their consumers again; how many."""

    async def work(letters: DeadLetters) -> int:
        return sum([await letters.replay(queue, event_ids) for queue in QUEUES])

    return await _with_dead_letters(environ, work)


async def _with_dead_letters(
    environ: Mapping[str, str], work: Callable[[DeadLetters], Awaitable[T]]
) -> T:
    broker = _open_broker(environ)
    if broker is not None:
        try:
            return await work(broker)
        finally:
            await broker.close()
    databases = _open_databases(environ)
    try:
        return await work(DatabaseDeadLetters(databases))
    finally:
        for db in databases.values():
            await db.close()


def all_settings() -> dict[str, list[settings.SettingDoc]]:
    """The variables that each part reads from the environment."""
    from cinesync.audit.sources import AuditSettings  # noqa: PLC0415

    kinds: dict[str, type[Any]] = {"every process": ProcessSettings, "the bus": BusSettings}
    kinds |= {name: service_module(name).Settings for name in ALL}
    kinds["the audit"] = AuditSettings
    kinds |= {"the logs of `cinesync up`": LogRetention, "its metrics": SupervisorMetrics}
    return {part: settings.describe(kind) for part, kind in kinds.items()}


def env_example() -> str:
    """`.env.example`: every variable once, with its default and meaning.

    All lines are comments, so that the file changes nothing as it is.
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
