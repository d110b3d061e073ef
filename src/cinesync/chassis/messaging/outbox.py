"""Events leave with the change that caused them: written together, relayed after commit."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from msgspec.structs import replace

from cinesync.chassis import background, telemetry
from cinesync.chassis.database import (
    Database,
    Transaction,
    batch,
    compiled,
    delete_old_markers,
    insert_from,
    lease,
    text,
)
from cinesync.chassis.database.tables import outbox
from cinesync.chassis.messaging.bus import Bus
from cinesync.chassis.messaging.event import Event, Message, encode

log = telemetry.get_logger(__name__)

RELAY_BATCH_MAX = 500
SWEEP_SECONDS_MIN = 0.05  # while other processes write, whose commits wake nobody here
SWEEP_SECONDS_MAX = 1.0
BACKOFF_SECONDS_MAX = 5.0
LEASE_RENEW_SECONDS = lease.LEASE_SECONDS / 2
CLEANUP_SECONDS = 600.0
KEEP_SENT_DAYS = 7

APPEND = compiled(
    insert_from(
        outbox,
        batch("events", outbox.c.event_id, outbox.c.name, outbox.c.body, outbox.c.occurred_at),
    )
)


async def append(tx: Transaction, events: Sequence[Event]) -> None:
    """Write `events` in the caller's transaction; the relay wakes when it commits."""
    if not events:
        return
    trace = telemetry.current_trace()
    traced = [event if event.trace else replace(event, trace=trace) for event in events]
    rows = [(event.event_id, event.name, encode(event), event.occurred_at) for event in traced]
    await tx.execute(APPEND, {"events": rows})
    tx.has_events = True


async def unsent(tx: Transaction, limit: int, resting: Sequence[UUID] = ()) -> list[Message]:
    """The oldest rows that no bus has taken yet, without those at rest."""
    statement = text(
        "SELECT event_id, name, body FROM outbox WHERE sent_at IS NULL"
        " AND event_id <> ALL(CAST(:resting AS uuid[]))"
        " ORDER BY occurred_at ASC, event_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"limit": limit, "resting": list(resting)})
    return [Message(*row) for row in rows]


async def mark_sent(tx: Transaction, event_ids: Sequence[UUID]) -> None:
    """These are the bus's responsibility from now on."""
    statement = text(
        "UPDATE outbox SET sent_at = now() WHERE event_id = ANY(CAST(:event_ids AS uuid[]))"
    )
    await tx.execute(statement, {"event_ids": sorted(event_ids)})


async def forget_sent(tx: Transaction) -> int:
    """Delete rows delivered long ago; how many."""
    statement = text(
        "DELETE FROM outbox WHERE sent_at < now() - CAST(:days AS bigint) * interval '1 day'"
    )
    return (await tx.execute(statement, {"days": KEEP_SENT_DAYS})).rowcount


class Relay:
    """Carries a service's outbox to the bus; one process at a time, by lease."""

    def __init__(self, service: str, db: Database, bus: Bus, owner: str) -> None:
        self._service = service
        self.name = f"{service}.relay"
        self._db = db
        self._bus = bus
        self._owner = owner
        self._wake = asyncio.Event()
        self._leased_until = 0.0
        self.sweep_seconds = SWEEP_SECONDS_MAX
        self._cleanup_at = 0.0
        # What the bus did not take rests for a while, and does not hold up the others: until when,
        # and for how long.
        self._resting: dict[UUID, tuple[float, float]] = {}
        db.on_events.append(self._wake.set)

    async def run(self) -> None:
        """Relay until cancelled. Wakes at commit, and sweeps for what other processes wrote or a
        crash left behind."""
        backoff_seconds = 0.0
        while True:
            try:
                await self.drain()
                backoff_seconds = 0.0
            except Exception as error:  # noqa: BLE001 the relay outlives every outage
                backoff_seconds = _longer(backoff_seconds)
                background.failed(error)
                log.warning("relay.waiting", service=self._service, reason=str(error))
            await asyncio.sleep(backoff_seconds)
            await self._until_woken()

    async def drain(self) -> bool:
        """Deliver all there is now. False: something was not taken and waits for another try."""
        woken = self._wake.is_set()
        self._wake.clear()  # first: who is not the owner must not be woken again at once
        while await self._is_owner():
            await self._clean_up()
            self._wake.clear()
            messages = await self._db.run_one(unsent, RELAY_BATCH_MAX, self._still_resting())
            if not woken:
                self._hurry(others_write=bool(messages))
                woken = True
            if messages:
                await self._carry(messages)
            telemetry.EVENTS_WAITING.labels(self._service).set(len(self._resting))
            background.succeeded()
            if len(messages) < RELAY_BATCH_MAX and not self._wake.is_set():
                return not self._resting
        self._resting.clear()
        telemetry.EVENTS_WAITING.labels(self._service).set(0)
        background.succeeded()  # it stands by
        return True

    async def _carry(self, messages: Sequence[Message]) -> None:
        waiting = len(messages) + len(self._resting)
        telemetry.EVENTS_WAITING.labels(self._service).set(waiting)
        taken = await self._bus.publish(messages)
        if taken:
            await self._db.run_one(mark_sent, list(taken))
            telemetry.EVENTS_RELAYED.labels(self._service).inc(len(taken))
        self._rest(messages, taken)

    async def close(self) -> None:
        """Hand the work back."""
        self._db.on_events.remove(self._wake.set)
        await self._db.run(lease.give_back, "relay", self._owner)

    def _hurry(self, *, others_write: bool) -> None:
        """A sweep looks again the sooner, the less long ago one found something."""
        longer = min(self.sweep_seconds * 2, SWEEP_SECONDS_MAX)
        self.sweep_seconds = SWEEP_SECONDS_MIN if others_write else longer

    def _still_resting(self) -> list[UUID]:
        now = asyncio.get_running_loop().time()
        return [event_id for event_id, (until, _) in self._resting.items() if until > now]

    def _rest(self, messages: Sequence[Message], taken: set[UUID]) -> None:
        now = asyncio.get_running_loop().time()
        for event_id in (message.event_id for message in messages):
            _, pause_seconds = self._resting.pop(event_id, (0.0, 0.0))
            if event_id not in taken:
                pause_seconds = _longer(pause_seconds)
                self._resting[event_id] = (now + pause_seconds, pause_seconds)

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(self.sweep_seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _is_owner(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= self._leased_until:
            if not await lease.held(self._db, "relay", self._owner):
                return False
            self._leased_until = now + LEASE_RENEW_SECONDS
        return True

    async def _clean_up(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._cleanup_at:
            self._cleanup_at = now + CLEANUP_SECONDS
            await self._db.run_one(forget_sent)
            await self._db.run_one(delete_old_markers)


def _longer(backoff_seconds: float) -> float:
    return min(max(backoff_seconds * 2, 0.05), BACKOFF_SECONDS_MAX)
