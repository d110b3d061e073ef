"""Alembic under a lease row: one process migrates a service's database, the others wait for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import lease
from cinesync.chassis.database import url as database_url
from cinesync.chassis.database.database import LOCK_TIMEOUT_MS, Database, open_database
from cinesync.chassis.database.retry import is_lost, sqlstate
from cinesync.chassis.database.statements import text
from cinesync.chassis.database.transaction import Transaction
from cinesync.chassis.database.url import DatabaseUrlError
from cinesync.chassis.problems import Problem

if TYPE_CHECKING:
    from alembic.config import Config

log = telemetry.get_logger(__name__)

MIGRATE_SECONDS_MAX = 300
LEASE_SECONDS = 15
WAIT_SECONDS = 0.1
SERVER_SECONDS_MAX = 120.0
MISSING_DATABASE = "3D000"
LOGIN_REFUSED_CLASS = "28"
LOG_SECONDS = 3.0
LOG_AGAIN_SECONDS = 30.0
# Another process created it first: duplicate_database, unique_violation, object_in_use.
RACED_STATES = frozenset({"42P04", "23505", "55006"})

REVISION = text("SELECT version_num FROM alembic_version")
LEASES_DDL = (
    "CREATE TABLE IF NOT EXISTS leases ("
    " name TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at TIMESTAMPTZ NOT NULL)"
)
COMMIT_MARKERS_DDL = (
    "CREATE TABLE IF NOT EXISTS run_keys ("
    " run_key UUID PRIMARY KEY, ran_at TIMESTAMPTZ NOT NULL DEFAULT now())"
)
# What every service's first migration creates.
CHASSIS_DDL: Sequence[str] = (
    LEASES_DDL,
    COMMIT_MARKERS_DDL,
    "CREATE TABLE IF NOT EXISTS outbox ("
    " event_id UUID PRIMARY KEY, name TEXT NOT NULL, body BYTEA NOT NULL,"
    " occurred_at TIMESTAMPTZ NOT NULL, sent_at TIMESTAMPTZ)",
    # Rows leave this index within milliseconds, so that it stays a few pages small.
    "CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (occurred_at, event_id)"
    " WHERE sent_at IS NULL",
    "CREATE TABLE IF NOT EXISTS inbox ("
    " queue TEXT NOT NULL, event_id UUID NOT NULL,"
    " received_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (queue, event_id))",
    "CREATE TABLE IF NOT EXISTS dead_letters ("
    " queue TEXT NOT NULL, event_id UUID NOT NULL, name TEXT NOT NULL, body BYTEA NOT NULL,"
    " error TEXT NOT NULL, died_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
    " PRIMARY KEY (queue, event_id))",
)


class MigrationBusy(RuntimeError):
    """Another process has been migrating this database for too long."""


async def create_if_missing(db: Database) -> None:
    """Create the database its URL names, once the server answers.

    Raises DatabaseAway when the server stays away for too long, DatabaseUrlError when it
    refuses the login.
    """
    deadline = clock.monotonic_seconds() + SERVER_SECONDS_MAX
    log_at = clock.monotonic_seconds() + LOG_SECONDS
    while True:
        try:
            await db.ping()
        except Exception as error:
            if sqlstate(error) == MISSING_DATABASE:
                await _create(db.url)
            elif (sqlstate(error) or "").startswith(LOGIN_REFUSED_CLASS):
                place = database_url.parse(db.url).place
                raise DatabaseUrlError(f"{place} refuses the login: {_reason(error)}") from error
            elif not is_lost(error) or clock.monotonic_seconds() > deadline:
                raise
            elif clock.monotonic_seconds() > log_at:
                place = database_url.parse(db.url).place
                log.warning("database.waiting", place=place, reason=_reason(error))
                log_at = clock.monotonic_seconds() + LOG_AGAIN_SECONDS
            await asyncio.sleep(WAIT_SECONDS)
        else:
            return


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


async def _create(url: str) -> None:
    database = database_url.parse(url).url.database
    server = open_database(database_url.with_database(url, "postgres"))
    try:
        async with server.connection() as connection:
            await connection.execute(f'CREATE DATABASE "{database}"')
    except asyncpg.PostgresError as error:
        if sqlstate(error) not in RACED_STATES:
            raise
        log.info("create.raced", database=database, reason=str(error))
    finally:
        await server.close()


async def upgrade(db: Database, package: str, owner: str) -> None:
    """Bring a service's database to its newest revision; `package` holds `versions/`."""
    if await is_current(db, package):
        return
    await _bootstrap(db)
    await _await_lease(db, owner)
    keeping = asyncio.create_task(_keep_lease(db, owner))
    try:
        await upgrade_to(db.url, package)
        log.info("database.migrated", package=package, revision=newest(package))
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await db.run(lease.give_back, "migrate", owner)


async def upgrade_to(url: str, package: str, revision: str = "head") -> None:
    """Run the missing revisions of `package`, with no lease: nobody else may do so meanwhile."""
    from alembic import command  # noqa: PLC0415 as in `configuration`

    config = configuration(package)

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with connect(url) as connection:
        await connection.run_sync(run)


def configuration(package: str) -> "Config":
    """What `alembic.ini` says of a service, for an installed package without that file."""
    # Alembic takes a while to load, and most starts have nothing to migrate.
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "cinesync.chassis.database:alembic")
    config.set_main_option("version_locations", f"{package}:versions")
    config.set_main_option("path_separator", "newline")  # the others occur in a location
    return config


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection for Alembic, which needs SQLAlchemy's. Each DDL statement commits by itself, and
    takes as long as the index of a big table takes.
    """
    target = database_url.parse(url)
    server_settings = {
        "application_name": "cinesync migration",
        "statement_timeout": "0",
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "timezone": "UTC",
    }
    engine = create_async_engine(
        target.url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"server_settings": server_settings, **target.connect_args},
    )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def is_current(db: Database, package: str) -> bool:
    """Whether the database has all that this code knows; newer code may have added to it."""
    return (await db.read(_revision) or "") >= newest(package)


@cache
def newest(package: str) -> str:
    """The number of the last migration: `0002` for versions/0002_refunds.py."""
    folder = resources.files(package).joinpath("versions")
    return max(item.name[:4] for item in folder.iterdir() if item.name[:4].isdecimal())


async def _bootstrap(db: Database) -> None:
    """Create the tables that the lease itself needs; two processes may do so at once."""
    async with db.connection() as connection:
        for ddl in (LEASES_DDL, COMMIT_MARKERS_DDL):
            try:
                await connection.execute(ddl)
            except asyncpg.PostgresError as error:
                log.info("bootstrap.raced", reason=str(error))


async def _revision(tx: Transaction) -> str | None:
    """The revision of the database; None before its first migration."""
    try:
        return (await tx.execute(REVISION)).scalar()
    except asyncpg.UndefinedTableError:
        return None


async def _keep_lease(db: Database, owner: str) -> None:
    """Until cancelled. The lease of a killed process ends soon, and another one migrates."""
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        try:
            await lease.held(db, "migrate", owner, LEASE_SECONDS)
        except Problem as error:  # the database is away, and the migration ends with it
            log.warning("migrate.lease_not_kept", reason=repr(error))


async def _await_lease(db: Database, owner: str) -> None:
    try:
        async with asyncio.timeout(MIGRATE_SECONDS_MAX):
            while not await lease.held(db, "migrate", owner, LEASE_SECONDS):  # noqa: ASYNC110
                await asyncio.sleep(WAIT_SECONDS)
    except TimeoutError as error:
        target = database_url.parse(db.url)
        raise MigrationBusy(f"{target.url.database} at {target.place}") from error
