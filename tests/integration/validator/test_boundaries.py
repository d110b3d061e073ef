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
PAUSE_SECONDS = 0.02  # between entries: the kills are what matters
WAIT_SECONDS_MAX = 240  # the view timeout doubles when a busy machine lets views fail


class ValidatorProcess:
    """One validator and its successors."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = 0

    @classmethod
    async def begin(cls, place: Path) -> "ValidatorProcess":
        arguments = ("-m", "tests.integration.validator.fault_injector", str(place))
        with (place / "errors.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=PIPE, stdout=PIPE, stderr=errors
            )
        made = cls(process)
        await made.wait_until_ready()
        return made

    async def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            word, _, pid = (await self._process.stdout.readline()).decode().partition(" ")
        assert word == "ready"
        self.pid = int(pid)

    async def kill_at(self, step: int, record: str) -> str:
        """Kill it at a boundary after the next such record; returns where, once it is up again."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step} {record}".encode())
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            line = (await self._process.stdout.readline()).decode().strip()
        assert line.startswith("killed ")
        await self.wait_until_ready()
        return line.removeprefix("killed ")

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


class Workload:
    """Four validators that are killed while a client writes, and the indices that it got."""

    def __init__(
        self, folder: Path, client: LedgerClient, processes: list[ValidatorProcess]
    ) -> None:
        self.folder = folder
        self.client = client
        self.processes = processes
        self.acknowledged: list[int] = []

    async def write(self) -> None:
        """Entries, until cancelled."""
        while True:
            appended = await self.client.submit([entry(len(self.acknowledged)).encode()])
            self.acknowledged += appended.indices
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
        statuses = (await self.client.statuses()).values()
        return len(statuses) == 4 and len({status.height for status in statuses}) == 1


@asynccontextmanager
async def running_workload(folder: Path) -> AsyncIterator[Workload]:
    provisioning.init(folder, [f"127.0.0.1:{port}" for port in free_ports(4)], "tests")
    homes = [provisioning.validator_home(folder, at) for at in range(4)]
    processes = list(await asyncio.gather(*(ValidatorProcess.begin(place) for place in homes)))
    client = LedgerClient(home.load(provisioning.client_home(folder)))
    client.start_sequences_at(first_sequence(0, int(clock.now().timestamp() * 1000)))
    running = asyncio.create_task(client.run())
    try:
        yield Workload(folder, client, processes)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in processes))


@pytest.mark.slow
async def test_a_kill_at_any_boundary_loses_nothing_and_contradicts_nothing(tmp_path: Path) -> None:
    async with running_workload(tmp_path) as workload:
        killed_at = await workload.while_writing(lambda: _in_turn(workload))
        killed_at += await workload.while_writing(lambda: _in_view_changes(workload))
        await _all_agree(workload)
    watch = InvariantChecker(fault_injector.PARAMETERS.window)
    for replica in range(4):
        for frame in fault_injector.frames_sent_by(provisioning.validator_home(tmp_path, replica)):
            watch.sent(replica, frame)
    for who in ("primary", "backup", "next primary"):
        assert {f"{who} {where}" for where in fault_injector.BOUNDARIES} <= set(killed_at)


async def _in_turn(workload: Workload) -> AsyncIterator[str]:
    """The primary at the first boundary, a backup at the first, the primary at the second, …"""
    for step in range(1, STEPS + 1):
        primary = await workload.primary()
        yield "primary " + await workload.processes[primary].kill_at(step, "log.accepted")
        backup = workload.processes[(primary + 2) % 4]
        yield "backup " + await backup.kill_at(step, "log.accepted")


async def _in_view_changes(workload: Workload) -> AsyncIterator[str]:
    """The primary says nothing for a while, and who follows it dies in the middle."""
    for step in range(1, STEPS_OF_A_VIEW_CHANGE + 1):
        primary = await workload.primary()
        os.kill(workload.processes[primary].pid, signal.SIGSTOP)
        try:
            following = workload.processes[(primary + 1) % 4]
            yield "next primary " + await following.kill_at(step, "viewchange")
        finally:
            os.kill(workload.processes[primary].pid, signal.SIGCONT)


async def _all_agree(workload: Workload) -> None:
    """All have every entry at the index that the client got."""
    await until(workload.level, "all are level", 180)
    sent = [entry(number).encode() for number in range(len(workload.acknowledged))]
    for at in range(0, len(sent), 200):
        appended = await workload.client.submit(sent[at : at + 200])
        assert list(appended.indices) == workload.acknowledged[at : at + 200]
    await until(workload.level, "all are level", 180)
    assert inspect.audit(workload.folder).findings == []
