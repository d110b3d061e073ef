"""Whole shops, started once a session because a start fills a demo chain."""

from collections.abc import Iterator

import pytest

from tests.system.shop import Shop


@pytest.fixture(scope="session")
def killable_shop() -> Iterator[Shop]:
    """A shop whose processes kill themselves when told to."""
    shop = Shop(module="tests.system.saboteur").start()
    yield shop
    shop.stop()
