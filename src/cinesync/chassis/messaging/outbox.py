"""Events are stored in the transaction of the change that caused them, and published after it.

Theory of operation
-------------------
`append` inserts the events into the table `outbox` in the caller's transaction: either the change
and its events are committed, or neither. A relay publishes the rows that are not marked as sent:

- It wakes at each commit of its own process that has events. It also polls, every second, and
  sooner while other processes write: no commit of theirs wakes it, and a process that crashed
  between its commit and its publish wakes none.
- One process at a time relays a service's outbox, by a lease in the database.
- A row is marked as sent when the bus accepted the event: RabbitMQ confirmed and routed it, or
  every consumer of the embedded bus committed it. After a crash before the mark, the event is
  published again, and the inboxes drop it.
- An event that the bus did not accept is deferred, longer each time, and does not hold up others.
- Sent rows are deleted after a week. Until then a restored backup can publish them again.

Written by hand, because the outbox belongs in our own transactions, with their retry; a relay of
change data capture would be one more server to run.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Interval,
    Uuid,
    all_,
    bindparam,
    delete,
    func,
    select,
    update,
)

from cinesync.chassis import background, telemetry
from cinesync.chassis.backoff import Backoff
from cinesync.chassis.database import (
    Database,
    Transaction,
    any_of,
    batch,
    compiled,
    delete_old_markers,
    insert_from,
    lease,
)
from cinesync.chassis.database.tables import outbox
from cinesync.chassis.messaging.bus import Bus
from cinesync.chassis.messaging.event import Event, Message, encode

log = telemetry.get_logger(__name__)

RELAY_BATCH_MAX = 500
POLL_SECONDS_MIN = 0.05  # while other processes write, whose commits do not wake this one
POLL_SECONDS_MAX = 1.0
BACKOFF = Backoff(first_seconds=0.05, seconds_max=5.0)
LEASE_RENEW_SECONDS = lease.LEASE_SECONDS / 2
CLEANUP_SECONDS = 600.0
SENT_AGE_MAX = timedelta(days=7)

APPEND = compiled(
    insert_from(
        outbox,
        batch("events", outbox.c.event_id, outbox.c.name, outbox.c.body, outbox.c.occurred_at),
    )
)
UNSENT = compiled(
    select(outbox.c.event_id, outbox.c.name, outbox.c.body)
    .where(
        outbox.c.sent_at.is_(None),
        outbox.c.event_id != all_(bindparam("deferred", type_=ARRAY(Uuid))),
    )
    .order_by(outbox.c.occurred_at, outbox.c.event_id)
    .limit(bindparam("limit", type_=BigInteger))
)
MARK_SENT = compiled(
    update(outbox).values(sent_at=func.now()).where(any_of(outbox.c.event_id, "event_ids"))
)
DELETE_SENT = compiled(
    delete(outbox).where(outbox.c.sent_at < func.now() - bindparam("age", type_=Interval))
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


async def unsent(tx: Transaction, limit: int, deferred: Sequence[UUID] = ()) -> list[Message]:
    """The oldest rows that are not sent, without those that are deferred."""
    rows = await tx.execute(UNSENT, {"limit": limit, "deferred": list(deferred)})
    return [Message(*row) for row in rows]


async def mark_sent(tx: Transaction, event_ids: Sequence[UUID]) -> None:
    """The bus is responsible for these events from now on."""
    await tx.execute(MARK_SENT, {"event_ids": sorted(event_ids)})


async def delete_sent(tx: Transaction) -> int:
    """Delete rows that were sent long ago; how many."""
    return (await tx.execute(DELETE_SENT, {"age": SENT_AGE_MAX})).rowcount


class Relay:
    """Publishes a service's outbox; one process at a time, by lease."""

    def __init__(self, service: str, db: Database, bus: Bus, owner: str) -> None:
        self._service = service
        self.name = f"{service}.relay"
        self._db = db
        self._bus = bus
        self._owner = owner
        self._wake = asyncio.Event()
        self._leased_until = 0.0
        self.poll_seconds = POLL_SECONDS_MAX
        self._cleanup_at = 0.0
        # Events that the bus did not accept: until when they are deferred, and how often.
        self._deferred: dict[UUID, tuple[float, int]] = {}
        db.on_events.append(self._wake.set)

    async def run(self) -> None:
        """Relay until cancelled."""
        failures = 0
        while True:
            try:
                await self.drain()
                failures = 0
            except Exception as error:  # noqa: BLE001 the relay outlives every outage
                failures += 1
                background.failed(error)
                log.warning("relay.waiting", service=self._service, reason=str(error))
            await asyncio.sleep(BACKOFF.pause_seconds(failures))
            await self._until_woken()

    async def drain(self) -> bool:
        """Publish all that is not sent. False: the bus did not accept some of it."""
        woken = self._wake.is_set()
        self._wake.clear()  # first: a process without the lease must not wake again at once
        while await self._is_owner():
            await self._clean_up()
            self._wake.clear()
            messages = await self._db.run_one(unsent, RELAY_BATCH_MAX, self._still_deferred())
            if not woken:
                self._adapt_polling(others_write=bool(messages))
                woken = True
            if messages:
                await self._publish(messages)
            telemetry.EVENTS_WAITING.labels(self._service).set(len(self._deferred))
            background.succeeded()
            if len(messages) < RELAY_BATCH_MAX and not self._wake.is_set():
                return not self._deferred
        self._deferred.clear()
        telemetry.EVENTS_WAITING.labels(self._service).set(0)
        background.succeeded()  # standing by is its work
        return True

    async def _publish(self, messages: Sequence[Message]) -> None:
        waiting = len(messages) + len(self._deferred)
        telemetry.EVENTS_WAITING.labels(self._service).set(waiting)
        accepted = await self._bus.publish(messages)
        if accepted:
            await self._db.run_one(mark_sent, list(accepted))
            telemetry.EVENTS_RELAYED.labels(self._service).inc(len(accepted))
        self._defer(messages, accepted)

    async def close(self) -> None:
        """Give the lease back."""
        self._db.on_events.remove(self._wake.set)
        await self._db.run(lease.give_back, "relay", self._owner)

    def _adapt_polling(self, *, others_write: bool) -> None:
        """Poll fast after a poll found something, then slower each time."""
        longer = min(self.poll_seconds * 2, POLL_SECONDS_MAX)
        self.poll_seconds = POLL_SECONDS_MIN if others_write else longer

    def _still_deferred(self) -> list[UUID]:
        now = asyncio.get_running_loop().time()
        return [event_id for event_id, (until, _) in self._deferred.items() if until > now]

    def _defer(self, messages: Sequence[Message], accepted: set[UUID]) -> None:
        now = asyncio.get_running_loop().time()
        for event_id in (message.event_id for message in messages):
            _, failures = self._deferred.pop(event_id, (0.0, 0))
            if event_id not in accepted:
                until = now + BACKOFF.pause_seconds(failures + 1)
                self._deferred[event_id] = (until, failures + 1)

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(self.poll_seconds):
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
            await self._db.run_one(delete_sent)
            await self._db.run_one(delete_old_markers)
