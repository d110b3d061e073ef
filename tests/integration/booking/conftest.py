"""A booking database for each test: one for all, emptied, because making one takes longer."""

from collections.abc import AsyncIterator

import pytest

from cinesync.booking.context import BookingContext
from cinesync.booking.model import Terms
from cinesync.booking.routes import fast_paths, routers
from cinesync.booking.tables import metadata
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, migrations, open_database, text
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeClient, Sign
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.support.booking import CLIENTS, BookingHarness


@pytest.fixture(scope="session")
def migrated() -> set[Postgres]:
    """The servers that have the database already."""
    return set()


@pytest.fixture
async def harness(postgres: Postgres, migrated: set[Postgres]) -> AsyncIterator[BookingHarness]:
    db = open_database(postgres.url("booking_emptied"))
    if postgres not in migrated:
        await _make(db)
        migrated.add(postgres)
    await db.run(_empty)
    yield BookingHarness(db)
    await db.close()


async def _make(db: Database) -> None:
    await migrations.create_if_missing(db)
    await migrations.upgrade(db, "cinesync.booking.migrations", "tests")


async def _empty(tx: Transaction) -> None:
    for table in metadata.tables:
        await tx.execute(text(f"DELETE FROM {table}"))


@pytest.fixture
def open_client(harness: BookingHarness, make_client: MakeClient, sign: Sign) -> OpenBookingClient:
    context = BookingContext(
        harness.db, Terms(), TicketSigner("a secret"), CLIENTS, subscribers_max=10
    )

    async def open_as(role: str = "customer") -> BookingClient:
        http = make_client("booking", routers(context), fast_paths(context))
        customer_id = clock.new_id()
        http.headers["Authorization"] = f"Bearer {sign(customer_id, role)}"
        return BookingClient(http, context, harness, customer_id)

    return open_as


@pytest.fixture
async def client(open_client: OpenBookingClient) -> BookingClient:
    return await open_client()
