"""Validators on machines of their own with cut cables: three go on, two stop, all come back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinesync.supervisor.ports import free_ports
from cinesync.validator.inspection import inspect
from cinesync.validator.network.client import LedgerClient
from tests.integration.validator import network_namespaces
from tests.integration.validator.network_namespaces import NetworkNamespaces
from tests.support.ledger_chains import entry
from tests.support.needs import need
from tests.support.validator_cluster import ValidatorCluster, until

FAR = (2, 3)


@pytest.fixture
def namespaces() -> Iterator[NetworkNamespaces]:
    """Cables to the machines of validators 2 and 3; 0 and 1 are on this one."""
    need(
        "root and network namespaces (Debian package iproute2)",
        present=network_namespaces.available(),
    )
    with network_namespaces.namespaces(*FAR) as cables:
        yield cables


@pytest.fixture
def spread(namespaces: NetworkNamespaces, tmp_path: Path) -> Iterator[ValidatorCluster]:
    ports = free_ports(4)
    hosts = [namespaces.here, namespaces.here, *(namespaces.address(machine) for machine in FAR)]
    addresses = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)]
    made = ValidatorCluster(tmp_path / "ledger", interval=8, addresses=addresses)
    made.machines = {machine: namespaces.inside(machine) for machine in FAR}
    yield made.start()
    made.stop()


class Writing:
    """One entry after the other, as long as it goes on.

    With checkpoints so close, whoever fetches a state must not find it gone again at once.
    """

    def __init__(self, client: LedgerClient) -> None:
        self._client = client
        self.acknowledged: list[int] = []

    async def run(self) -> None:
        while True:
            appended = await self._client.submit([entry(len(self.acknowledged)).encode()])
            self.acknowledged += appended.indices
            await asyncio.sleep(0.02)

    async def more(self, count: int = 40) -> None:
        """That many, which is far more than a window of heights."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted, f"{wanted} entries", 180)


async def level(client: LedgerClient) -> bool:
    """All four answer, and none is more than a few blocks behind."""
    heights = [status.height for status in (await client.statuses()).values()]
    return len(heights) == 4 and max(heights) - min(heights) < 8


async def both_wait_for_a_view(client: LedgerClient) -> bool:
    """Whether two validators answer, and neither is in a view."""
    statuses = (await client.statuses()).values()
    return len(statuses) == 2 and not any(status.active for status in statuses)


@pytest.mark.slow
async def test_three_go_on_without_the_fourth_and_two_wait_for_a_third(
    namespaces: NetworkNamespaces, spread: ValidatorCluster
) -> None:
    async with spread.client() as client:
        writing = Writing(client)
        running = asyncio.create_task(writing.run())
        await writing.more()
        namespaces.disconnect(3)
        await writing.more()
        namespaces.reconnect(3)
        await until(lambda: level(client), "the fourth has caught up", 180)
        namespaces.disconnect(2, 3)
        acknowledged = len(writing.acknowledged)
        await until(lambda: both_wait_for_a_view(client), "two alone agree on nothing", 180)
        assert len(writing.acknowledged) <= acknowledged + 1  # the reply may have been on its way
        namespaces.reconnect(2)
        await writing.more()
        namespaces.reconnect(3)
        await until(lambda: level(client), "all have caught up", 180)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        sent = [entry(number).encode() for number in range(len(writing.acknowledged))]
        for at in range(0, len(sent), 200):
            appended = await client.submit(sent[at : at + 200])
            assert list(appended.indices) == writing.acknowledged[at : at + 200]
        await until(lambda: level(client), "level", 180)
    assert inspect.audit(spread.folder).findings == []
