"""Four validators, each a process of its own, to be killed and brought back."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from cinesync.chassis import clock
from cinesync.supervisor.ports import free_ports
from cinesync.validator import home, provisioning
from cinesync.validator.network.client import LedgerClient, first_sequence

CHILD = """
import sys
from pathlib import Path
from cinesync.chassis import telemetry
from cinesync.validator import main
from cinesync.pbft.ports import Parameters
interval = int(sys.argv[2])
parameters = Parameters(timeout_ticks=16, interval=interval, window=2 * interval)
telemetry.configure_logging()
main.main(Path(sys.argv[1]), lambda: print("ready", flush=True), parameters)
"""


class ValidatorCluster:
    """A ledger in a folder and its processes. `interval`: heights between two checkpoints."""

    def __init__(
        self, folder: Path, count: int = 4, interval: int = 64, addresses: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.interval = interval
        self.addresses = addresses or [f"127.0.0.1:{port}" for port in free_ports(count)]
        self.machines: dict[int, Sequence[str]] = {}  # by replica, what its command begins with
        self.genesis = provisioning.init(folder, self.addresses, "tests")
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def home(self, replica: int) -> Path:
        return provisioning.validator_home(self.folder, replica)

    def start(self, replicas: Sequence[int] | None = None) -> "ValidatorCluster":
        for replica in range(len(self.addresses)) if replicas is None else replicas:
            with (self.home(replica) / "errors.log").open("ab") as errors:
                self.processes[replica] = subprocess.Popen(
                    [
                        *self.machines.get(replica, ()),
                        *(sys.executable, "-c", CHILD),
                        *(str(self.home(replica)), str(self.interval)),
                    ],
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
        for process in self.processes.values():
            if process.stdout is not None and not process.stdout.closed:
                process.stdout.readline()
                process.stdout.close()
        return self

    def kill(self, *replicas: int) -> None:
        for replica in replicas:
            process = self.processes.pop(replica)
            process.send_signal(signal.SIGKILL)
            process.wait()

    def pause(self, replica: int) -> None:
        self.processes[replica].send_signal(signal.SIGSTOP)

    def resume(self, replica: int) -> None:
        self.processes[replica].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill(*list(self.processes))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[LedgerClient]:
        """One that has reached everyone who runs."""
        client = LedgerClient(home.load(provisioning.client_home(self.folder)))
        client.start_sequences_at(first_sequence(0, int(clock.now().timestamp() * 1000)))
        running = asyncio.create_task(client.run())
        try:
            await until(lambda: client.connected >= len(self.processes), "connected")
            yield client
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def until(happened: Any, what: str, seconds: float = 30.0) -> None:
    """Look until it is so; `happened` may be a coroutine function."""
    deadline = clock.monotonic_seconds() + seconds
    while clock.monotonic_seconds() < deadline:
        found = happened()
        if await found if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never: {what}")
