"""The submitter: it brings recorded events into the chain, one process at a time.

Theory of operation. A lease in the database elects one process. It reads the oldest pending
batches, up to REQUESTS_AT_ONCE_MAX requests, and submits each to the validators. A reply names the
index of each entry, so the submitter gets the block proof and the certificate of that height
(`certify_block`), checks each entry against it, and commits: it stores the certified block and
publishes ledger.committed in one transaction.

Exactly once does not depend on the lease: the log has each event id once. If a crash loses a reply,
the next round submits the same entries again and the reply names their old indices. Such entries
are not in the new block (`_prove_older`), so each gets a whole receipt.

Below a quorum a submission waits for hours if it must; nothing else waits for it. The loop renews
the lease meanwhile and gives up when another process took it.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from prometheus_client import Counter, Gauge

from cinesync.chassis import background, clock, telemetry
from cinesync.chassis.backoff import Backoff
from cinesync.chassis.database import Database, lease
from cinesync.ledger import service, store
from cinesync.ledger.model import CertifiedBlock, CommittedSubmission, PendingSubmission
from cinesync.proofs import canonical_json
from cinesync.proofs.block_proof import BlockProof
from cinesync.proofs.receipts import HeaderCertificate
from cinesync.validator.certify import certify_block
from cinesync.validator.network.client import LedgerClient, first_sequence
from cinesync.validator.network.query_client import NoQuorum

log = telemetry.get_logger(__name__)

LEASE: Final = "ledger.submitter"
REQUESTS_AT_ONCE_MAX: Final = 4
POLLING: Final = Backoff(first_seconds=0.1, seconds_max=0.8, jitter=0)
STANDBY_SECONDS: Final = 1.0
RENEW_SECONDS: Final = lease.LEASE_SECONDS / 3

ENTRIES_FINAL = Counter("cinesync_ledger_entries_final", "Entries whose receipts are here")
ENTRIES_WAITING = Gauge("cinesync_ledger_entries_waiting", "Entries without a receipt, at most")


class Submitter:
    """Runs in every process of the ledger service; the one with the lease works."""

    def __init__(self, db: Database, client: LedgerClient, name: str) -> None:
        self._db = db
        self._client = client
        self._name = name
        self._owner = f"{name}:{clock.new_id()}"
        self._renew_at = 0.0

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            if await self._lease():
                await self._lead()
            background.succeeded()  # another process has the lease
            await asyncio.sleep(STANDBY_SECONDS)

    async def stop(self) -> None:
        """Give the lease back, so that another process takes over at once."""
        await self._db.run(lease.give_back, LEASE, self._owner)

    async def _lease(self) -> bool:
        now = clock.monotonic_seconds()
        if now >= self._renew_at:
            if not await lease.held(self._db, LEASE, self._owner):
                return False
            self._renew_at = now + RENEW_SECONDS
        return True

    async def _lead(self) -> None:
        reserved = await self._db.run(store.reserve_sequences, self._name)
        milliseconds = int(clock.now().timestamp() * 1000)
        self._client.start_sequences_at(first_sequence(reserved, milliseconds))
        idle_rounds = 0
        while await self._lease():
            parts = await self._db.read(service.pending, REQUESTS_AT_ONCE_MAX)
            ENTRIES_WAITING.set(sum(len(part) for part in parts))
            if parts and not await self._while_leased(self._deliver(parts)):
                return
            # Unless there is much to do, wait for more: a large batch costs as much as a small one.
            background.succeeded()
            idle_rounds = 0 if parts else idle_rounds + 1
            if len(parts) < REQUESTS_AT_ONCE_MAX:
                await asyncio.sleep(POLLING.pause_seconds(1 + idle_rounds))

    async def _while_leased(self, work: Coroutine[Any, Any, None]) -> bool:
        """Work for as long as it takes; False if another process took the lease."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=RENEW_SECONDS)
                if not task.done() and not await self._lease():
                    return False
            task.result()
        except* NoQuorum as group:  # the entries are in the log; the next round proves them
            background.failed(group)
            log.warning("ledger.no_quorum", errors=[str(error) for error in group.exceptions])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return True

    async def _deliver(self, parts: Sequence[Sequence[PendingSubmission]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(self._deliver_part(part))

    async def _deliver_part(self, part: Sequence[PendingSubmission]) -> None:
        appended = await self._client.submit([one.entry for one in part])
        block, certificate = await certify_block(self._client, appended)
        committed, older = [], []
        for one, index in zip(part, appended.indices, strict=True):
            if block.holds(index, one.entry):
                committed.append(_committed(one, index))
            else:
                older.append(one)
        if older:
            committed += await self._prove_older(older, block, certificate)
        await self._db.run(service.commit, committed, certified(block, certificate))
        ENTRIES_FINAL.inc(len(committed))

    async def _prove_older(
        self, part: Sequence[PendingSubmission], block: BlockProof, certificate: HeaderCertificate
    ) -> list[CommittedSubmission]:
        """Receipts for entries that an earlier block has."""
        event_ids = [str(one.event_id) for one in part]
        receipts = await self._client.receipts(block.header, certificate, event_ids)
        for one, receipt in zip(part, receipts, strict=True):
            if receipt.entry.encode() != one.entry:
                log.error("ledger.differs", event_id=str(one.event_id))  # the chain is right
        return [
            _committed(one, receipt.index, receipt.encode().decode())
            for one, receipt in zip(part, receipts, strict=True)
        ]


def _committed(
    one: PendingSubmission, index: int, receipt: str | None = None
) -> CommittedSubmission:
    return CommittedSubmission(
        event_id=one.event_id,
        batch_id=one.batch_id,
        kind=one.kind,
        booking_id=one.booking_id,
        index=index,
        receipt=receipt,
    )


def certified(block: BlockProof, certificate: HeaderCertificate) -> CertifiedBlock:
    return CertifiedBlock(
        height=block.header.height,
        header=block.header.encoded.decode(),
        certificate=canonical_json.dump(certificate.to_json()).decode(),
        peaks=b"".join(block.peaks),
        leaves=b"".join(block.leaves),
    )
