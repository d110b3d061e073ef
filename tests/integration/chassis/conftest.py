"""A broker for the tests, and two services with a bus between them."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.two_services import (
    BUS_KINDS,
    TwoServices,
    open_two_services,
)
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
async def services(
    request: pytest.FixtureRequest, postgres: Postgres
) -> AsyncIterator[TwoServices]:
    """Two services on the bus that the test is parametrised with."""
    kind = getattr(request, "param", "embedded")
    broker = request.getfixturevalue("rabbitmq") if kind == "rabbitmq" else None
    services = await open_two_services(postgres, broker)
    yield services
    await services.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that use `services` run on both buses; those marked `rabbitmq` on that one."""
    if "services" in metafunc.fixturenames:
        is_marked = metafunc.definition.get_closest_marker("rabbitmq") is not None
        kinds = [BUS_KINDS[1]] if is_marked else BUS_KINDS
        metafunc.parametrize("services", kinds, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the broker share one process, and so one broker."""
    for item in items:
        if item.get_closest_marker("rabbitmq") is not None:
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))
