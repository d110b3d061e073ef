"""Whole shops, started once a session because a start fills a demo chain."""

from collections.abc import Iterator

import pytest

from tests.system.shop import Shop


@pytest.fixture(scope="session")
def killable_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose processes kill themselves when told to."""
    shop = Shop(tmp_path_factory.mktemp("killable"), module="tests.system.saboteur").start()
    yield shop
    shop.stop()
