"""The profile sees what a test run does to its databases, and says so."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from cinesync.chassis.database import Database, Transaction, migrations, open_database, text
from cinesync.supervisor.postgres import Postgres
from tests.support.portability import profile
from tests.support.portability.profile import Profile


@pytest.fixture(autouse=True)
def watched(cockroachdb_profile: Profile) -> Iterator[None]:
    """Here the statements are the tests' own."""
    cockroachdb_profile.watches_tests = True
    yield
    cockroachdb_profile.watches_tests = False


@pytest.fixture
async def db(postgres: Postgres) -> AsyncIterator[Database]:
    """Any database."""
    db = open_database(postgres.url())
    yield db
    await db.close()


def taken(profile: Profile) -> list[str]:
    """What was broken until now; forgiven."""
    broken, profile.broken = profile.broken, []
    return broken


async def test_a_decent_transaction_passes(cockroachdb_profile: Profile, db: Database) -> None:
    await db.ping()
    assert taken(cockroachdb_profile) == []


async def test_another_isolation_is_noticed(cockroachdb_profile: Profile, db: Database) -> None:
    async def one(tx: Transaction) -> None:
        await tx.execute(text("SELECT 1 AS one"))

    await Database(db.pool, db.url, isolation="read_committed").run_repeatable(one)
    assert "read_committed, not serializable" in taken(cockroachdb_profile)[0]


async def test_a_migration_in_a_transaction_is_noticed(
    cockroachdb_profile: Profile, db: Database
) -> None:
    async with migrations.connect(db.url) as connection:
        options = await connection.execution_options(isolation_level="SERIALIZABLE")
        await options.execute(sqlalchemy.text("SELECT 1 AS one"))
    assert "a migration in a transaction" in taken(cockroachdb_profile)[0]


async def test_a_statement_that_only_postgresql_has_is_noticed(
    cockroachdb_profile: Profile, db: Database
) -> None:
    async def lock(tx: Transaction) -> None:
        await tx.execute(text("SELECT pg_advisory_xact_lock(1)"))

    await db.read(lock)
    assert "no advisory locks" in taken(cockroachdb_profile)[0]


async def test_listening_is_noticed(cockroachdb_profile: Profile, db: Database) -> None:
    async def listen(tx: Transaction) -> None:
        await tx.execute(text("LISTEN seats"))

    await db.read(listen)
    assert "LISTEN exists in PostgreSQL only" in taken(cockroachdb_profile)[0]


async def test_a_second_ddl_in_a_transaction_is_noticed(
    cockroachdb_profile: Profile, db: Database
) -> None:
    async def two(tx: Transaction) -> None:
        for name in ("profile_one", "profile_two"):
            await tx.execute(text(f"CREATE TABLE IF NOT EXISTS {name} (a UUID PRIMARY KEY)"))

    await db.run_repeatable(two)
    assert {line[:23] for line in taken(cockroachdb_profile)} == {"DDL shares its transact"}


async def test_ddl_each_in_a_transaction_of_its_own_passes(
    cockroachdb_profile: Profile, db: Database
) -> None:
    async with migrations.connect(db.url) as connection:
        for name in ("profile_one", "profile_two"):
            ddl = f"CREATE TABLE IF NOT EXISTS {name} (a UUID PRIMARY KEY)"
            await connection.execute(sqlalchemy.text(ddl))
            await connection.execute(sqlalchemy.text(f"DROP TABLE IF EXISTS {name}"))
    assert taken(cockroachdb_profile) == []


async def test_the_statements_of_tests_are_their_own_affair(
    cockroachdb_profile: Profile, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def everything(tx: Transaction) -> None:
        await tx.execute(text("SELECT * FROM pg_settings LIMIT :limit"), {"limit": 1})

    cockroachdb_profile.watches_tests = False
    await db.read(everything)
    assert taken(cockroachdb_profile) == []
    monkeypatch.setattr(profile, "SOURCE", Path(__file__).parent)
    await db.read(everything)
    assert len(taken(cockroachdb_profile)) == 2


async def test_the_statements_of_migrations_are_ours(
    cockroachdb_profile: Profile, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    cockroachdb_profile.watches_tests = False
    monkeypatch.setattr(cockroachdb_profile, "_lint", seen.append)
    db = open_database(postgres.url("profile_migrated"))
    await migrations.create_if_missing(db)
    await migrations.upgrade(db, "cinesync.booking.migrations", "test")
    await db.close()
    assert any("CREATE TABLE IF NOT EXISTS booking_seats" in sql for sql in seen)
