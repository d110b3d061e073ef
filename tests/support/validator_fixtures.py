"""Fixtures of running validators; the conftest of a folder imports those that its tests use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.validator_cluster import ValidatorCluster


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValidatorCluster]:
    """Four validators that no test stops or harms; tests share their log."""
    running = ValidatorCluster(tmp_path_factory.mktemp("ledger") / "shared").start()
    yield running
    running.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ValidatorCluster]:
    """Four validators for one test, which starts and harms them as it likes."""
    made = ValidatorCluster(tmp_path / "ledger")
    yield made
    made.stop()


@pytest.fixture
def short_interval_cluster(tmp_path: Path) -> Iterator[ValidatorCluster]:
    """As `cluster`, with a checkpoint every 8 heights: changes are soon in force."""
    made = ValidatorCluster(tmp_path / "ledger", interval=8)
    yield made
    made.stop()


def on_one_worker(items: list[pytest.Item]) -> None:
    """Run the tests of the shared cluster on one xdist worker, so that there is one cluster."""
    for item in items:
        if isinstance(item, pytest.Function) and "shared_cluster" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("shared_cluster"))
