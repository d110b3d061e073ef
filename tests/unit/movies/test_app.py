"""The service as it is wired."""

import pytest

from cinesync.chassis.settings import SettingsError, load
from cinesync.contracts import CONSUMERS
from cinesync.movies.app import Settings, create


async def test_the_service_is_built_from_its_settings() -> None:
    service = create(load(Settings, {"DATABASE_URL": "postgresql://localhost:1/movies"}))
    assert service.name == "movies"
    assert service.handlers.keys() == {
        kind for kind, names in CONSUMERS.items() if "movies" in names
    }
    await service.database.close()


def test_without_a_database_there_is_no_service() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        create(load(Settings, {}))
