"""A movies database, and one with the demo chain in it."""

from datetime import date, timedelta

import httpx
import pytest

from cinesync.chassis import clock
from cinesync.chassis.db import Database
from cinesync.movies.routes import router
from cinesync.movies.seeding import seed_chain
from tests.conftest import MakeClient, MakeDatabase

DAYS = 2


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    """An empty movies database."""
    return await make_database("movies")


@pytest.fixture
def tomorrow() -> date:
    """A day whose shows all lie ahead, in every time zone of the chain."""
    return clock.now().date() + timedelta(days=2)


@pytest.fixture
async def chain(db: Database, tomorrow: date) -> Database:
    """The demo chain with two days of shows."""
    await seed_chain(db, tomorrow, days=DAYS)
    return db


@pytest.fixture
async def client(chain: Database, make_client: MakeClient) -> httpx.AsyncClient:
    """The service's API over the demo chain."""
    return make_client("movies", [router(chain)])
