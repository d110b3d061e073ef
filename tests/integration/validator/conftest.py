"""Running validators for these tests."""

import pytest

from tests.support.validator_fixtures import (  # noqa: F401 fixtures
    cluster,
    on_one_worker,
    shared_cluster,
    short_interval_cluster,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_one_worker(items)
