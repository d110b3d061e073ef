"""Whole shops, and the broker of those that have one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import need
from tests.support.rabbitmq_server import RabbitMqServer, installed, temporary_server
from tests.support.shop import RunningShop


@pytest.fixture(scope="session")
def killable_shop(filled: Path) -> Iterator[RunningShop]:
    """A shop whose processes kill themselves when told to."""
    shop = RunningShop(filled, module="tests.system.fault_injection").start()
    yield shop
    shop.stop()


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMqServer]:
    """A real one, for the tests of one file: they kill it."""
    need("the Debian package rabbitmq-server", present=installed())
    server = temporary_server()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.directory)
