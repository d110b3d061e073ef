"""Wiring, settings, the shape of the database, and a whole process that is killed."""

from collections.abc import Callable
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from cinesync.chassis.settings import SettingsError
from cinesync.payment import app, tables
from cinesync.payment.consumers import HANDLERS
from tests.conftest import MakeDatabase

ENVIRON = {
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "BOOKING_URL": "http://booking",
    "BANK_URL": "http://bank",
    "BANK_SECRET": "secret",
}


async def test_the_service_is_built_from_its_settings() -> None:
    service = app.build(ENVIRON)
    assert (service.name, service.handlers) == ("payment", HANDLERS)
    assert len(service.background) == 1
    for hook in service.close:
        await hook()
    await service.database.close()


async def test_stripe_is_there_only_when_it_has_a_key() -> None:
    service = app.build(ENVIRON | {"STRIPE_SECRET_KEY": "sk_test_1"})
    assert len(service.background) == 2
    for hook in service.close:
        await hook()
    await service.database.close()


def test_a_provider_slower_than_our_patience_is_refused() -> None:
    with pytest.raises(SettingsError, match="PROVIDER_TIMEOUT_SECONDS"):
        app.build(ENVIRON | {"PROVIDER_TIMEOUT_SECONDS": "12"})


async def test_tables_and_migrations_have_the_same_shape(make_database: MakeDatabase) -> None:
    db = await make_database("payment")

    def ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or name in tables.metadata.tables

    def compare(connection: Connection) -> list[Any]:
        options: dict[str, Callable[..., bool] | bool] = {"include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, tables.metadata))

    async with db.engine.connect() as plain:
        assert await plain.run_sync(compare) == []
