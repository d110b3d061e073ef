"""Alembic under a lease row: one process migrates a service's database, the others wait for it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from cinesync.chassis import clock, lease, telemetry
from cinesync.chassis.db import Database, Transaction, is_lost, sqlstate

log = telemetry.get_logger(__name__)

MIGRATE_SECONDS_MAX = 300
WAIT_SECONDS = 0.1
SERVER_SECONDS_MAX = 120.0
MISSING_DATABASE = "3D000"

LEASES_DDL = (
    "CREATE TABLE IF NOT EXISTS leases ("
    " name TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at TIMESTAMPTZ NOT NULL)"
)
RUN_KEYS_DDL = (
    "CREATE TABLE IF NOT EXISTS run_keys ("
    " run_key UUID PRIMARY KEY, ran_at TIMESTAMPTZ NOT NULL DEFAULT now())"
)
# What every service's first migration creates.
CHASSIS_DDL: Sequence[str] = (
    LEASES_DDL,
    RUN_KEYS_DDL,
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

    Raises DatabaseAway when the server stays away for too long.
    """
    deadline = clock.monotonic_seconds() + SERVER_SECONDS_MAX
    while True:
        try:
            await db.ping()
        except Exception as error:
            if sqlstate(error) == MISSING_DATABASE:
                await _create(db.engine.url)
            elif not is_lost(error) or clock.monotonic_seconds() > deadline:
                raise
            await asyncio.sleep(WAIT_SECONDS)
        else:
            return


async def _create(url: URL) -> None:
    server = create_async_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        async with server.connect() as connection:
            await connection.execute(text(f'CREATE DATABASE "{url.database}"'))
    except DBAPIError as error:
        log.info("create.raced", database=url.database, reason=str(error.orig))
    finally:
        await server.dispose()


async def upgrade(db: Database, package: str, owner: str) -> None:
    """Bring a service's database to its newest revision; `package` holds `versions/`."""
    script = _script(package)
    await _bootstrap(db)
    if await _revision(db) == script.get_current_head():
        return
    await _await_lease(db, owner)
    try:
        async with db.engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            await connection.run_sync(_upgrade, script)
        log.info("database.migrated", package=package, revision=script.get_current_head())
    finally:
        await db.run(lease.give_back, "migrate", owner)


async def is_current(db: Database, package: str) -> bool:
    """Whether the database is at the newest revision this code knows."""
    return await _revision(db) == _script(package).get_current_head()


def _script(package: str) -> ScriptDirectory:
    config = Config()
    module, _, folder = package.rpartition(".")
    config.set_main_option("script_location", f"{module}:{folder}")
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    """Each statement commits by itself (sql-rules 15)."""

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 Alembic's own recipe

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()


async def _bootstrap(db: Database) -> None:
    """The lease itself needs its tables; two starters may collide on creating them."""
    async with db.engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        for ddl in (LEASES_DDL, RUN_KEYS_DDL):
            try:
                await connection.execute(text(ddl))
            except DBAPIError as error:
                log.info("bootstrap.raced", reason=str(error.orig))


async def _revision(db: Database) -> str | None:
    def current(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async def query(tx: Transaction) -> str | None:
        return await tx.run_sync(current)

    return await db.read(query)


async def _await_lease(db: Database, owner: str) -> None:
    try:
        async with asyncio.timeout(MIGRATE_SECONDS_MAX):
            while not await lease.held(db, "migrate", owner, MIGRATE_SECONDS_MAX):  # noqa: ASYNC110
                await asyncio.sleep(WAIT_SECONDS)
    except TimeoutError as error:
        raise MigrationBusy(str(db.engine.url)) from error
