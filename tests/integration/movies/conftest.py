"""An empty movies database, and one with the demo chain."""

import itertools
from collections.abc import AsyncIterator
from datetime import date, timedelta

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, settings

from cinesync.chassis import clock
from cinesync.chassis.database import Database, open_database
from cinesync.movies.demo.seeding import seed_chain
from cinesync.movies.routes import router
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeClient, MakeDatabase

DAYS = 2

# A busy machine must not fail a test.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

_numbers = itertools.count()


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    """An empty movies database."""
    return await make_database("movies")


@pytest.fixture(scope="session")
def tomorrow() -> date:
    """A day whose shows are all in the future, in every time zone of the chain."""
    return clock.now().date() + timedelta(days=2)


@pytest.fixture(scope="session")
def seeded() -> list[str]:
    """The name of the database with the demo chain; empty until it is seeded."""
    return []


@pytest.fixture
async def seeded_name(
    make_database: MakeDatabase, postgres: Postgres, seeded: list[str], tomorrow: date
) -> str:
    """The database with the demo chain and two days of shows, seeded once, never changed."""
    if not seeded:
        origin = await make_database("movies")
        await seed_chain(origin, tomorrow, days=DAYS)
        await origin.close()
        await _run(postgres, f"CREATE DATABASE chain TEMPLATE {origin.name}")
        seeded.append("chain")
    return seeded[0]


@pytest.fixture
async def chain(postgres: Postgres, seeded_name: str) -> AsyncIterator[Database]:
    """A copy of the demo chain, for tests that change it."""
    name = f"chain_{next(_numbers)}"
    await _run(postgres, f"CREATE DATABASE {name} TEMPLATE {seeded_name}")
    db = open_database(postgres.url(name))
    yield db
    await db.close()
    await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def client(
    postgres: Postgres, seeded_name: str, make_client: MakeClient
) -> AsyncIterator[httpx.AsyncClient]:
    """The API over the demo chain, for tests that read."""
    db = open_database(postgres.url(seeded_name))
    yield make_client("movies", [router(db)])
    await db.close()


@pytest.fixture
def own_client(chain: Database, make_client: MakeClient) -> httpx.AsyncClient:
    """The API over a copy of the demo chain, for tests that change it."""
    return make_client("movies", [router(chain)])


async def _run(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
