"""Databases with a few sales in them."""

from pathlib import Path

import pytest

from tests.conftest import MakeDatabase
from tests.integration.audit.builders import AuditFixture, a_sale, hours_ago

SALES = 5


@pytest.fixture
async def empty(make_database: MakeDatabase, tmp_path: Path) -> AuditFixture:
    """No sale yet."""
    names = ("auth", "movies", "booking", "payment", "ledger")
    return AuditFixture({name: await make_database(name) for name in names}, tmp_path / "ledger")


@pytest.fixture
async def audited(empty: AuditFixture) -> AuditFixture:
    """Sales of yesterday, all in the ledger."""
    sales = [a_sale(hours_ago(24), number) for number in range(SALES)]
    await empty.keep(sales)
    empty.found(sales)
    return empty
