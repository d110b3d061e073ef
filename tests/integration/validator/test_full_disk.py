"""A disk that is full: validators stop at once, keep what they have, and come back with room."""

import resource

import pytest

from tests.support.ledger_chains import entry
from tests.support.validator_cluster import ValidatorCluster, until

pytestmark = pytest.mark.slow

ROOM_BYTES = 600_000  # no file may grow beyond this: the kernel refuses, SQLite says so


async def test_a_validator_stops_on_a_full_disk_and_returns_when_there_is_space(
    cluster: ValidatorCluster,
) -> None:
    cluster.start()
    cramped = cluster.processes[3]
    resource.prlimit(cramped.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))
    async with cluster.client() as client:
        number = 0
        while cramped.poll() is None:
            await client.submit([entry(number + at).encode() for at in range(100)])
            number += 100
            assert number < 100_000
        cluster.kill(3)
        assert list((await client.submit([entry(number).encode()])).indices) == [number]
        cluster.start([3])

        async def level() -> bool:
            statuses = await client.statuses()
            return len({one.height for one in statuses.values()}) == 1 and len(statuses) == 4

        await until(level, "level again")
    assert b"Error" in (cluster.home(3) / "errors.log").read_bytes()


async def test_validators_that_start_on_a_full_disk_keep_what_they_have(
    cluster: ValidatorCluster,
) -> None:
    cluster.start()
    async with cluster.client() as client:
        assert list((await client.submit([entry(1).encode()])).indices) == [0]
        everyone = sorted(cluster.processes)
        cluster.kill(*everyone)
        for replica in everyone:
            for file in cluster.home(replica).glob("*-shm"):
                file.unlink()  # as after an orderly stop
            cluster.machines[replica] = ("prlimit", "--fsize=0")
        cluster.start()
        assert [cluster.processes[replica].wait() for replica in everyone] == [1] * 4
        assert not list(cluster.folder.rglob("*.damaged"))
        cluster.machines.clear()
        cluster.kill(*everyone)
        cluster.start()
        assert list((await client.submit([entry(1).encode()])).indices) == [0]
        assert not (await client.query(0, "status"))["abstaining"]
