"""Migrations: one process migrates, the others wait; what cannot be done is said."""

import asyncio
import importlib.util

import asyncpg
import pytest
import sqlalchemy
from alembic.script import ScriptDirectory

from cinesync.chassis.database import (
    Database,
    Transaction,
    lease,
    migrations,
    open_database,
    text,
)
from cinesync.chassis.database.migrations import MigrationBusy
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase

TOY = "tests.integration.chassis.toy.migrations"
SERVICES = ("auth", "movies", "booking", "payment")


async def test_a_missing_database_is_created_and_migrated_by_several_at_once(
    postgres: Postgres,
) -> None:
    dbs = [open_database(postgres.url("brand_new")) for _ in range(4)]

    async def start(db: Database, owner: str) -> None:
        await migrations.create_if_missing(db)
        await migrations.upgrade(db, TOY, owner)

    try:
        await asyncio.gather(*(start(db, f"process {n}") for n, db in enumerate(dbs)))
        assert all([await migrations.is_current(db, TOY) for db in dbs])
        assert await lease.held(dbs[0], "migrate", "whoever comes next")
    finally:
        await asyncio.gather(*(db.close() for db in dbs))


async def test_an_empty_database_is_not_current(postgres: Postgres) -> None:
    db = open_database(postgres.url("template1"))
    try:
        assert not await migrations.is_current(db, TOY)
    finally:
        await db.close()


async def test_a_newer_database_is_fine_for_older_code(make_database: MakeDatabase) -> None:
    db = await make_database("tests.integration.chassis.toy")

    async def note(tx: Transaction, revision: str) -> None:
        statement = text("UPDATE alembic_version SET version_num = CAST(:revision AS text)")
        await tx.execute(statement, {"revision": revision})

    await db.run(note, "0009")
    assert await migrations.is_current(db, TOY)
    await migrations.upgrade(db, TOY, "me")
    await db.run(note, "0000")
    assert not await migrations.is_current(db, TOY)


async def test_who_waits_too_long_for_another_migration_says_so(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = await make_database("tests.integration.chassis.toy")

    async def begin(tx: Transaction) -> None:
        await tx.execute(text("DELETE FROM alembic_version"))
        await lease.take(tx, "migrate", "somebody slow", 3600)

    await db.run(begin)
    monkeypatch.setattr(migrations, "MIGRATE_SECONDS_MAX", 0.3)
    with pytest.raises(MigrationBusy, match="toy_"):
        await migrations.upgrade(db, TOY, "me")


async def test_who_was_killed_while_migrating_keeps_nobody_waiting_for_long(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LEASE_SECONDS", 1)
    db = await make_database("tests.integration.chassis.toy")

    async def begin(tx: Transaction) -> None:
        await tx.execute(text("DELETE FROM alembic_version"))
        await lease.take(tx, "migrate", "killed", migrations.LEASE_SECONDS)

    await db.run(begin)
    await migrations.upgrade(db, TOY, "me")
    assert await migrations.is_current(db, TOY)


async def test_a_migration_that_takes_long_keeps_others_out(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LEASE_SECONDS", 1)
    upgrade_to = migrations.upgrade_to
    has_ended = asyncio.Event()

    async def slow(url: str, package: str) -> None:
        await asyncio.sleep(3)
        await upgrade_to(url, package)

    monkeypatch.setattr(migrations, "upgrade_to", slow)
    db = open_database(postgres.url("slow_migration"))

    async def others_got_in() -> bool:
        while not has_ended.is_set():
            if await lease.held(db, "migrate", "another", 1):
                return True
            await asyncio.sleep(0.1)
        return False

    try:
        await migrations.create_if_missing(db)
        await migrations._bootstrap(db)
        await lease.held(db, "migrate", "me", 1)
        trying = asyncio.create_task(others_got_in())
        await migrations.upgrade(db, TOY, "me")
        assert not trying.done(), "another got in"
        has_ended.set()
        await trying
        assert await migrations.is_current(db, TOY)
    finally:
        await db.close()


async def test_a_migration_is_not_cut_off_by_the_statement_timeout(postgres: Postgres) -> None:
    async with migrations.connect(postgres.url()) as connection:
        found = await connection.execute(sqlalchemy.text("SHOW statement_timeout"))
        assert found.scalar_one() == "0"


async def test_a_database_that_may_not_be_created_is_not_asked_for_for_ever(
    postgres: Postgres,
) -> None:
    admin = await asyncpg.connect(postgres.url())
    await admin.execute("CREATE ROLE visitor LOGIN")
    await admin.close()
    url = postgres.url("no_such_database").replace("postgres@", "visitor@")
    db = open_database(url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            async with asyncio.timeout(30):
                await migrations.create_if_missing(db)
    finally:
        await db.close()


async def test_a_server_that_stays_away_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrations, "SERVER_SECONDS_MAX", 0.2)
    db = open_database("postgresql://nobody@/nothing?host=/no/such/folder")
    with pytest.raises(OSError, match="No such file"):
        await migrations.create_if_missing(db)
    await db.close()


@pytest.mark.parametrize("package", [TOY, *(f"cinesync.{name}.migrations" for name in SERVICES)])
def test_the_newest_file_is_the_newest_revision(package: str) -> None:
    if package != TOY and importlib.util.find_spec(package) is None:
        pytest.skip("no migrations yet")
    script = ScriptDirectory.from_config(migrations.configuration(package))
    assert script.get_current_head() == migrations.newest(package)
