"""A booking database for each test: one for all, emptied, because making one takes longer."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from cinesync.booking.tables import metadata
from cinesync.chassis import migrate
from cinesync.chassis.db import Database, Transaction, open_database
from cinesync.chassis.postgres import Postgres
from tests.booking.scenes import BoxOffice


@pytest.fixture(scope="session")
def migrated() -> set[Postgres]:
    """The servers that have the database already."""
    return set()


@pytest.fixture
async def office(postgres: Postgres, migrated: set[Postgres]) -> AsyncIterator[BoxOffice]:
    db = open_database(postgres.url("booking_emptied"))
    if postgres not in migrated:
        await _make(db)
        migrated.add(postgres)
    await db.run(_empty)
    yield BoxOffice(db)
    await db.close()


async def _make(db: Database) -> None:
    await migrate.create_if_missing(db)
    await migrate.upgrade(db, "cinesync.booking.migrations", "tests")


async def _empty(tx: Transaction) -> None:
    for table in [*metadata.tables, "outbox", "inbox"]:
        await tx.execute(text(f"DELETE FROM {table}"))
