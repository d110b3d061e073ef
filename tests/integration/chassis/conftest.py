"""A broker of our own, and a house of two services around a bus."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.bus_house import BUS_KINDS, House, open_house
from tests.support.needs import need
from tests.support.rabbitmq_server import (
    DEBIAN_PACKAGE,
    RabbitMqServer,
    installed,
    temporary_server,
)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMqServer]:
    """One broker a test process; a test that kills it starts it again."""
    need(f"the Debian package {DEBIAN_PACKAGE}", present=installed())
    server = temporary_server()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.directory)


@pytest.fixture
async def house(request: pytest.FixtureRequest, postgres: Postgres) -> AsyncIterator[House]:
    """A house on the embedded bus, or on the kind the test is parametrised with."""
    kind = getattr(request, "param", "embedded")
    broker = request.getfixturevalue("rabbitmq") if kind == "rabbitmq" else None
    house = await open_house(postgres, broker)
    yield house
    await house.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of `house` run on both buses, those marked `rabbitmq` on that one."""
    if "house" in metafunc.fixturenames:
        is_marked = metafunc.definition.get_closest_marker("rabbitmq") is not None
        kinds = [BUS_KINDS[1]] if is_marked else BUS_KINDS
        metafunc.parametrize("house", kinds, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One broker for a run on several cores: its tests stay on one of them."""
    for item in items:
        if item.get_closest_marker("rabbitmq") is not None:
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))
