"""Wiring, settings and the shape of the database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from cinesync.chassis.settings import SettingsError
from cinesync.ledger import app, tables
from cinesync.ledger.event_handlers import HANDLERS
from cinesync.supervisor import infrastructure
from cinesync.validator import provisioning
from tests.conftest import MakeDatabase

ENVIRON = {"DATABASE_URL": "postgresql://nobody@localhost/none"}


async def test_the_service_is_built_from_its_settings(tmp_path: Path) -> None:
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    place = str(provisioning.client_home(tmp_path))
    service = app.build(ENVIRON | {"LEDGER_HOME": place})
    assert (service.name, service.handlers) == ("ledger", HANDLERS)
    assert len(service.background) == 2
    await service.database.close()


def test_up_runs_every_validator_whose_home_is_there(tmp_path: Path) -> None:
    assert infrastructure._validators_in(tmp_path) == []
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    provisioning.make_validator(tmp_path, 10)
    (tmp_path / "validator-2").rename(tmp_path / "validator-2.away")
    assert infrastructure._validators_in(tmp_path) == [0, 1, 3, 10]
    with pytest.raises(provisioning.ProvisioningFailed, match="exists already"):
        provisioning.make_validator(tmp_path, 10)
    with pytest.raises(provisioning.ProvisioningFailed, match="no ledger in"):
        provisioning.make_validator(tmp_path / "elsewhere", 1)
    with pytest.raises(provisioning.ProvisioningFailed, match="to put a new key into"):
        provisioning.make_key(tmp_path, 2)


def test_without_a_home_there_is_no_service() -> None:
    with pytest.raises(SettingsError, match="LEDGER_HOME"):
        app.build(ENVIRON)


async def test_tables_and_migrations_have_the_same_shape(make_database: MakeDatabase) -> None:
    db = await make_database("ledger")

    def ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or name in tables.metadata.tables

    def compare(connection: Connection) -> list[Any]:
        options: dict[str, Callable[..., bool] | bool] = {"include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, tables.metadata))

    async with db.engine.connect() as plain:
        assert await plain.run_sync(compare) == []
