"""A disk that is full: validators stop at once, keep what they have, and come back with room."""

import resource

import pytest

from tests.support.ledger_chains import entry
from tests.support.validator_cluster import Quartet, until

pytestmark = pytest.mark.slow

ROOM_BYTES = 600_000  # no file may grow beyond this: the kernel refuses, SQLite says so


async def test_a_validator_whose_disk_is_full_stops_and_comes_back_with_room(
    quartet: Quartet,
) -> None:
    quartet.start()
    cramped = quartet.processes[3]
    resource.prlimit(cramped.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))
    async with quartet.client() as client:
        number = 0
        while cramped.poll() is None:
            await client.submit([entry(number + at).encode() for at in range(100)])
            number += 100
            assert number < 100_000
        quartet.kill(3)
        assert list((await client.submit([entry(number).encode()])).indices) == [number]
        quartet.start([3])

        async def level() -> bool:
            told = await client.standings()
            return len({one.height for one in told.values()}) == 1 and len(told) == 4

        await until(level, "level again")
    assert b"Error" in (quartet.home(3) / "errors.log").read_bytes()


async def test_validators_that_start_on_a_full_disk_keep_what_they_have(quartet: Quartet) -> None:
    quartet.start()
    async with quartet.client() as client:
        assert list((await client.submit([entry(1).encode()])).indices) == [0]
        everyone = sorted(quartet.processes)
        quartet.kill(*everyone)
        for replica in everyone:
            for file in quartet.home(replica).glob("*-shm"):
                file.unlink()  # as after an orderly stop
            quartet.machines[replica] = ("prlimit", "--fsize=0")
        quartet.start()
        assert [quartet.processes[replica].wait() for replica in everyone] == [1] * 4
        assert not list(quartet.folder.rglob("*.damaged"))
        quartet.machines.clear()
        quartet.kill(*everyone)
        quartet.start()
        assert list((await client.submit([entry(1).encode()])).indices) == [0]
        assert not (await client.ask(0, "status"))["abstaining"]
