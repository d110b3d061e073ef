"""Ledgers to test with: one that nobody harms, and one's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.validator_cluster import Quartet


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quartet]:
    """Four validators that are never killed; tests share their log."""
    running = Quartet(tmp_path_factory.mktemp("ledger") / "calm").start()
    yield running
    running.stop()


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Quartet]:
    """As `quartet`, with checkpoints so near that changes are soon in force."""
    made = Quartet(tmp_path / "ledger", interval=8)
    yield made
    made.stop()


@pytest.fixture
def quartet(tmp_path: Path) -> Iterator[Quartet]:
    """Four validators to do harm to; not started yet."""
    made = Quartet(tmp_path / "ledger")
    yield made
    made.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One calm quartet for a run on several cores: its tests stay on one of them."""
    for item in items:
        if isinstance(item, pytest.Function) and "calm" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("calm"))
