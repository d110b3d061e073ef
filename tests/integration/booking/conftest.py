"""A booking database for each test: one for all, emptied, because making one takes longer."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from cinesync.booking.context import Shop
from cinesync.booking.fast_path import fast_paths
from cinesync.booking.model import Terms
from cinesync.booking.routes import router
from cinesync.booking.staff_routes import staff_router
from cinesync.booking.tables import metadata
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, migrations, open_database
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeClient, Sign
from tests.integration.booking.storefront import OpenStorefront, Storefront
from tests.support.booking import CLIENTS, BoxOffice


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
    await migrations.create_if_missing(db)
    await migrations.upgrade(db, "cinesync.booking.migrations", "tests")


async def _empty(tx: Transaction) -> None:
    for table in metadata.tables:
        await tx.execute(text(f"DELETE FROM {table}"))


@pytest.fixture
def open_storefront(office: BoxOffice, make_client: MakeClient, sign: Sign) -> OpenStorefront:
    shop = Shop(office.db, Terms(), TicketSigner("a secret"), CLIENTS, listeners_max=10)

    async def enter(role: str = "customer") -> Storefront:
        http = make_client("booking", [router(shop), staff_router(shop)], fast_paths(shop))
        customer_id = clock.new_id()
        http.headers["Authorization"] = f"Bearer {sign(customer_id, role)}"
        return Storefront(http, shop, office, customer_id)

    return enter


@pytest.fixture
async def front(open_storefront: OpenStorefront) -> Storefront:
    return await open_storefront()
