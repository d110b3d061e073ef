"""Takes what waits to the validators and brings the receipts home; one process at a time."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from prometheus_client import Counter, Gauge

from cinesync.chassis import background, clock, telemetry
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
POLL_SECONDS_MIN: Final = 0.1
POLL_SECONDS_MAX: Final = 0.8
STANDBY_SECONDS: Final = 1.0
RENEW_SECONDS: Final = lease.LEASE_SECONDS / 3

ENTRIES_FINAL = Counter("cinesync_ledger_entries_final", "Entries whose receipts are here")
ENTRIES_WAITING = Gauge("cinesync_ledger_entries_waiting", "Entries without a receipt, at most")


class Submitter:
    """The lease saves work; exactly once is the log's own doing, by event id."""

    def __init__(self, db: Database, client: LedgerClient, name: str) -> None:
        self._db = db
        self._client = client
        self._name = name
        self._owner = f"{name}:{clock.new_id()}"
        self._renew_at = 0.0

    async def run(self) -> None:
        """Until cancelled; below a quorum of validators everything waits."""
        while True:
            if await self._lease():
                await self._lead()
            background.succeeded()  # another process does the work
            await asyncio.sleep(STANDBY_SECONDS)

    async def stop(self) -> None:
        """Let another process go on at once."""
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
        pause_seconds = POLL_SECONDS_MIN
        while await self._lease():
            parts = await self._db.read(service.waiting, REQUESTS_AT_ONCE_MAX)
            ENTRIES_WAITING.set(sum(len(part) for part in parts))
            if parts and not await self._while_leased(self._deliver(parts)):
                return
            # A little later there are more, and a large batch costs like a small one.
            background.succeeded()
            pause_seconds = POLL_SECONDS_MIN if parts else min(2 * pause_seconds, POLL_SECONDS_MAX)
            if len(parts) < REQUESTS_AT_ONCE_MAX:
                await asyncio.sleep(pause_seconds)

    async def _while_leased(self, work: Coroutine[Any, Any, None]) -> bool:
        """Work for hours if need be, but stop when another process took over."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=RENEW_SECONDS)
                if not task.done() and not await self._lease():
                    return False
            task.result()
        except* NoQuorum as group:  # it is in the log; the next round finds it there
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
        recorded, older = [], []
        for one, index in zip(part, appended.indices, strict=True):
            if block.holds(index, one.entry):
                recorded.append(_recorded(one, index))
            else:
                older.append(one)
        if older:
            recorded += await self._older(older, block, certificate)
        await self._db.run(service.finish, recorded, sealed(block, certificate))
        ENTRIES_FINAL.inc(len(recorded))

    async def _older(
        self, part: Sequence[PendingSubmission], block: BlockProof, certificate: HeaderCertificate
    ) -> list[CommittedSubmission]:
        """What a crash forgot: in the log for a while, hence proven entry by entry."""
        event_ids = [str(one.event_id) for one in part]
        receipts = await self._client.receipts(block.header, certificate, event_ids)
        for one, receipt in zip(part, receipts, strict=True):
            if receipt.entry.encode() != one.entry:
                log.error("ledger.differs", event_id=str(one.event_id))  # the chain's word stands
        return [
            _recorded(one, receipt.index, receipt.encode().decode())
            for one, receipt in zip(part, receipts, strict=True)
        ]


def _recorded(
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


def sealed(block: BlockProof, certificate: HeaderCertificate) -> CertifiedBlock:
    return CertifiedBlock(
        height=block.header.height,
        header=block.header.encoded.decode(),
        certificate=canonical_json.dump(certificate.to_json()).decode(),
        peaks=b"".join(block.peaks),
        leaves=b"".join(block.leaves),
    )
