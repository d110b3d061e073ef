"""The ledger alone, on four durable validators: rate, latency, failover, receipts."""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4  # noqa: TID251 entries have ids of their own

from cinesync.proofs import entries, receipts
from cinesync.proofs.entries import LedgerEntry
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.infrastructure import VALIDATORS
from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.ports import free_ports
from cinesync.validator import home, provisioning
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.state_machine import OPERATIONS_MAX

PAUSE_SECONDS = 0.02
VERIFICATIONS = 200


@dataclass(frozen=True, slots=True)
class LoadNodes:
    """Entries in full batches, entries one by one, primaries killed."""

    entries: int
    singles: int
    failovers: int


QUICK = LoadNodes(entries=5_000, singles=50, failovers=1)
FULL = LoadNodes(entries=40_000, singles=200, failovers=5)


def entry(booking_id: str = "", kind: str = "payment.success") -> bytes:
    """A payment as the ledger service writes one, of a booking of its own unless it is named."""
    fields = LedgerEntry(
        event_id=str(uuid4()),
        kind=kind,
        time=time.time_ns() // 1000,
        booking_id=booking_id or str(uuid4()),
        facts={"amount_cents": 2400, "currency": "EUR", "payment_id": str(uuid4())},
        commitments={"customer_id": uuid4().hex * 2},
        format="cinesync-entry/1",
    )
    return fields.encode()


def purchases(count: int) -> list[bytes]:
    """Two entries each: the payment and the booking it became."""
    booking_ids = [str(uuid4()) for _ in range(count)]
    kinds = ("payment.success", "booking.confirmed")
    return [entry(booking_id, kind) for booking_id in booking_ids for kind in kinds]


class Validators:
    """Four processes on folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "ledger"
        provisioning.init(self.folder, [f"127.0.0.1:{port}" for port in free_ports(VALIDATORS)])
        shop = DataFolder(folder)
        shop.logs.mkdir(parents=True, exist_ok=True)
        environ = {**os.environ, "LOG_LEVEL": "WARNING"}  # noqa: TID251
        self.children = [
            ManagedProcess(name, ["validator", f"--home={self.folder / name}"], environ, shop)
            for name in (f"validator-{number}" for number in range(VALIDATORS))
        ]
        for child in self.children:
            child.start()

    def kill_and_restart(self, number: int) -> None:
        """SIGKILL; it is started again."""
        os.kill(self.children[number].pid, signal.SIGKILL)

    def stop(self) -> None:
        """All of them."""
        for child in self.children:
            child.stop()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[LedgerClient]:
        """Connected to all four."""
        client = LedgerClient(home.load(provisioning.client_home(self.folder)))
        client.start_sequences_at(time.time_ns() // 1000)
        running = asyncio.create_task(client.run())
        await everybody(client)
        yield client
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def everybody(client: LedgerClient) -> None:
    """Until all validators are connected."""
    while client.connected < VALIDATORS:  # noqa: ASYNC110 the client has no event for it
        await asyncio.sleep(0.05)


async def throughput(client: LedgerClient, count: int) -> dict[str, float]:
    """Full batches, four in flight."""
    batches = [purchases(OPERATIONS_MAX // 2) for _ in range(count // OPERATIONS_MAX)]
    gate = asyncio.Semaphore(4)

    async def submit(batch: list[bytes]) -> None:
        async with gate:
            await client.submit(batch)

    began = time.perf_counter()
    await asyncio.gather(*(submit(batch) for batch in batches))
    seconds = time.perf_counter() - began
    return {"entries_per_second": round(len(batches) * OPERATIONS_MAX / seconds)}


async def latency(client: LedgerClient, count: int) -> dict[str, float]:
    """One entry at a time, with pauses: a lightly loaded evening."""
    times_ms = []
    for _ in range(count):
        began = time.perf_counter()
        await client.submit([entry()])
        times_ms.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    cuts = statistics.quantiles(times_ms, n=100)
    return {"commit_p50_ms": round(cuts[49], 1), "commit_p99_ms": round(cuts[98], 1)}


async def failover(validators: Validators, client: LedgerClient, count: int) -> dict[str, float]:
    """From the SIGKILL of the primary to the next entry that is final."""
    seconds = []
    for _ in range(count):
        output = (await client.query_all("status")).values()
        primary = max(output, key=lambda status: int(status["view"]))["primary"]
        validators.kill_and_restart(primary)
        began = time.perf_counter()
        await client.submit([entry()])
        seconds.append(time.perf_counter() - began)
        validators.children[primary].start()
        await everybody(client)
        await client.submit([entry()])
    return {
        "failover_p50_s": round(statistics.median(seconds), 2),
        "failover_max_s": round(max(seconds), 2),
    }


async def receipt(client: LedgerClient) -> dict[str, float]:
    """How large a receipt is, and how long its verification takes."""
    written = entry()
    appended = await client.submit([written])
    header, certificate = await client.certify(appended.height)
    event_id = entries.decode(written).event_id
    [found] = await client.receipts(header, certificate, [event_id])
    data = found.encode()
    began = time.perf_counter()
    for _ in range(VERIFICATIONS):
        receipts.verify(data, client.genesis)
    each_ms = (time.perf_counter() - began) * 1000 / VERIFICATIONS
    return {"receipt_bytes": len(data), "verify_ms": round(each_ms, 2)}


async def measure(load: LoadNodes) -> dict[str, float]:
    """On validators of its own."""
    with tempfile.TemporaryDirectory(prefix="cinesync-bench-") as folder:
        return await _measure(Path(folder), load)


async def _measure(folder: Path, load: LoadNodes) -> dict[str, float]:
    validators = Validators(folder)
    try:
        async with validators.client() as client:
            await client.submit([entry()])
            results = await latency(client, load.singles)
            results |= await throughput(client, load.entries)
            results |= await receipt(client)
            results |= await failover(validators, client, load.failovers)
    finally:
        validators.stop()
    return results
