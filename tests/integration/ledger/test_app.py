"""Wiring, settings and the shape of the database."""

from pathlib import Path

import pytest

from cinesync.chassis.settings import SettingsError, load
from cinesync.ledger import app
from cinesync.ledger.event_handlers import HANDLERS
from cinesync.supervisor import infrastructure
from cinesync.validator import provisioning

ENVIRON = {"DATABASE_URL": "postgresql://nobody@localhost/none"}


async def test_the_service_is_built_from_its_settings(tmp_path: Path) -> None:
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    place = str(provisioning.client_home(tmp_path))
    service = app.create(load(app.Settings, ENVIRON | {"LEDGER_HOME": place}))
    assert (service.name, service.handlers) == ("ledger", HANDLERS)
    assert len(service.background) == 2
    await service.database.close()


def test_up_runs_every_validator_whose_home_is_there(tmp_path: Path) -> None:
    assert infrastructure._validators_in(tmp_path) == []
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    provisioning.create_validator(tmp_path, 10)
    (tmp_path / "validator-2").rename(tmp_path / "validator-2.away")
    assert infrastructure._validators_in(tmp_path) == [0, 1, 3, 10]
    with pytest.raises(provisioning.ProvisioningFailed, match="exists already"):
        provisioning.create_validator(tmp_path, 10)
    with pytest.raises(provisioning.ProvisioningFailed, match="no ledger in"):
        provisioning.create_validator(tmp_path / "elsewhere", 1)
    with pytest.raises(provisioning.ProvisioningFailed, match="to put a new key into"):
        provisioning.create_key(tmp_path, 2)


def test_without_a_home_there_is_no_service() -> None:
    with pytest.raises(SettingsError, match="LEDGER_HOME"):
        app.create(load(app.Settings, ENVIRON))
