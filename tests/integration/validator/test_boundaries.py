"""Real validators killed at every boundary of persist and send, one after the other."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cinesync.chassis import clock
from cinesync.supervisor.ports import free_ports
from cinesync.validator import home, provisioning
from cinesync.validator.inspection import inspect
from cinesync.validator.network.client import LedgerClient, first_sequence
from tests.integration.validator import fault_injector
from tests.simulation.invariants import InvariantChecker
from tests.support.ledger_chains import entry
from tests.support.validator_cluster import until

STEPS = 12  # as many boundaries as a validator passes for an entry
STEPS_OF_A_VIEW_CHANGE = 6
PAUSE_SECONDS = 0.02  # between entries: the kills are the story
WAIT_SECONDS_MAX = 240  # patience doubles when a busy machine lets views fail


class Victim:
    """One validator and its afterlives."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = 0

    @classmethod
    async def begin(cls, place: Path) -> "Victim":
        arguments = ("-m", "tests.integration.validator.fault_injector", str(place))
        with (place / "errors.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=PIPE, stdout=PIPE, stderr=errors
            )
        made = cls(process)
        await made.comes_back()
        return made

    async def comes_back(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            word, _, pid = (await self._process.stdout.readline()).decode().partition(" ")
        assert word == "ready"
        self.pid = int(pid)

    async def dies_at(self, step: int, record: str) -> str:
        """Counted from the next such record of its journal. Where it was; it lives again then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step} {record}".encode())
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            line = (await self._process.stdout.readline()).decode().strip()
        assert line.startswith("struck ")
        await self.comes_back()
        return line.removeprefix("struck ")

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


class Story:
    """Four validators that are killed while a client writes, and what it was told."""

    def __init__(self, folder: Path, client: LedgerClient, victims: list[Victim]) -> None:
        self.folder = folder
        self.client = client
        self.victims = victims
        self.told: list[int] = []

    async def write(self) -> None:
        """Entries, until cancelled."""
        while True:
            appended = await self.client.submit([entry(len(self.told)).encode()])
            self.told += appended.indices
            await asyncio.sleep(PAUSE_SECONDS)

    async def while_writing(self, dying: Callable[[], AsyncIterator[str]]) -> list[str]:
        """Where they were killed; nothing waits for the entry after the last."""
        writing = asyncio.create_task(self.write())
        try:
            return [where async for where in dying()]
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def primary(self) -> int:
        """The one that a quorum follows."""
        await until(self._find_primary, "there is a primary", WAIT_SECONDS_MAX)
        assert self.client._primary is not None
        return self.client._primary

    async def _find_primary(self) -> bool:
        await self.client._find_primary()
        return self.client._primary is not None

    async def level(self) -> bool:
        told = await self.client.statuses()
        return len(told) == 4 and len({standing.height for standing in told.values()}) == 1


@asynccontextmanager
async def story(folder: Path) -> AsyncIterator[Story]:
    provisioning.init(folder, [f"127.0.0.1:{port}" for port in free_ports(4)], "tests")
    homes = [provisioning.validator_home(folder, at) for at in range(4)]
    victims = list(await asyncio.gather(*(Victim.begin(place) for place in homes)))
    client = LedgerClient(home.load(provisioning.client_home(folder)))
    client.start_sequences_at(first_sequence(0, int(clock.now().timestamp() * 1000)))
    running = asyncio.create_task(client.run())
    try:
        yield Story(folder, client, victims)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.gather(*(victim.end() for victim in victims))


@pytest.mark.slow
async def test_a_kill_at_any_boundary_loses_nothing_and_contradicts_nothing(tmp_path: Path) -> None:
    async with story(tmp_path) as played:
        struck = await played.while_writing(lambda: _in_turn(played))
        struck += await played.while_writing(lambda: _in_view_changes(played))
        await _all_agree(played)
    watch = InvariantChecker(fault_injector.PARAMETERS.window)
    for replica in range(4):
        for frame in fault_injector.said_by(provisioning.validator_home(tmp_path, replica)):
            watch.sent(replica, frame)
    for who in ("primary", "backup", "next primary"):
        assert {f"{who} {where}" for where in fault_injector.BOUNDARIES} <= set(struck)


async def _in_turn(played: Story) -> AsyncIterator[str]:
    """The primary at the first boundary, a backup at the first, the primary at the second, …"""
    for step in range(1, STEPS + 1):
        primary = await played.primary()
        yield "primary " + await played.victims[primary].dies_at(step, "log.accepted")
        backup = played.victims[(primary + 2) % 4]
        yield "backup " + await backup.dies_at(step, "log.accepted")


async def _in_view_changes(played: Story) -> AsyncIterator[str]:
    """The primary says nothing for a while, and who follows it dies in the middle."""
    for step in range(1, STEPS_OF_A_VIEW_CHANGE + 1):
        primary = await played.primary()
        os.kill(played.victims[primary].pid, signal.SIGSTOP)
        try:
            following = played.victims[(primary + 1) % 4]
            yield "next primary " + await following.dies_at(step, "viewchange")
        finally:
            os.kill(played.victims[primary].pid, signal.SIGCONT)


async def _all_agree(played: Story) -> None:
    """On everything that the client was told, in the place it was told."""
    await until(played.level, "all are level", 180)
    sent = [entry(number).encode() for number in range(len(played.told))]
    for at in range(0, len(sent), 200):
        appended = await played.client.submit(sent[at : at + 200])
        assert list(appended.indices) == played.told[at : at + 200]
    await until(played.level, "all are level", 180)
    assert inspect.audit(played.folder).findings == []
