"""Validators on machines of their own with cut cables: three go on, two stop, all come back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinesync.supervisor.ports import free_ports
from cinesync.validator.inspection import inspect
from cinesync.validator.network.client import LedgerClient
from tests.integration.validator import network_namespaces
from tests.integration.validator.network_namespaces import Wires
from tests.support.ledger_chains import entry
from tests.support.needs import need
from tests.support.validator_cluster import ValidatorCluster, until

FAR = (2, 3)


@pytest.fixture
def laid() -> Iterator[Wires]:
    """Cables to the machines of validators 2 and 3; 0 and 1 are on this one."""
    need(
        "root and network namespaces (Debian package iproute2)",
        present=network_namespaces.available(),
    )
    with network_namespaces.laid(*FAR) as cables:
        yield cables


@pytest.fixture
def spread(laid: Wires, tmp_path: Path) -> Iterator[ValidatorCluster]:
    ports = free_ports(4)
    hosts = [laid.here, laid.here, *(laid.address(machine) for machine in FAR)]
    addresses = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)]
    made = ValidatorCluster(tmp_path / "ledger", interval=8, addresses=addresses)
    made.machines = {machine: laid.inside(machine) for machine in FAR}
    yield made.start()
    made.stop()


class Writing:
    """One entry after the other, as long as it goes on.

    With checkpoints so close, whoever fetches a state must not find it gone again at once.
    """

    def __init__(self, client: LedgerClient) -> None:
        self._client = client
        self.told: list[int] = []

    async def run(self) -> None:
        while True:
            appended = await self._client.submit([entry(len(self.told)).encode()])
            self.told += appended.indices
            await asyncio.sleep(0.02)

    async def more(self, count: int = 40) -> None:
        """That many, which is far more than a window of heights."""
        wanted = len(self.told) + count
        await until(lambda: len(self.told) >= wanted, f"{wanted} entries", 180)


async def level(client: LedgerClient) -> bool:
    """All four stand where the others stand, or a moment behind."""
    heights = [standing.height for standing in (await client.statuses()).values()]
    return len(heights) == 4 and max(heights) - min(heights) < 8


async def stands_still(client: LedgerClient) -> bool:
    before = {told.height for told in (await client.statuses()).values()}
    await asyncio.sleep(1)  # some blocks' time, if there were any
    return before == {told.height for told in (await client.statuses()).values()}


@pytest.mark.slow
async def test_three_go_on_without_the_fourth_and_two_wait_for_a_third(
    laid: Wires, spread: ValidatorCluster
) -> None:
    async with spread.client() as client:
        writing = Writing(client)
        running = asyncio.create_task(writing.run())
        await writing.more()
        laid.cut(3)
        await writing.more()
        laid.mend(3)
        await until(lambda: level(client), "the fourth has caught up", 180)
        laid.cut(2, 3)
        await until(lambda: stands_still(client), "two alone agree on nothing", 180)
        acknowledged = len(writing.told)
        await asyncio.sleep(1)
        assert len(writing.told) == acknowledged
        laid.mend(2)
        await writing.more()
        laid.mend(3)
        await until(lambda: level(client), "all have caught up", 180)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        sent = [entry(number).encode() for number in range(len(writing.told))]
        for at in range(0, len(sent), 200):
            appended = await client.submit(sent[at : at + 200])
            assert list(appended.indices) == writing.told[at : at + 200]
        await until(lambda: level(client), "level", 180)
    assert inspect.audit(spread.folder).findings == []
