"""Events arrive at least once and take effect once: inbox row and effect in one transaction."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import msgspec

from cinesync.chassis import telemetry
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.messaging.event import Event, Message, decode
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

# A handler gets only events it has never committed before, in the order they arrived.
Handler = Callable[[Transaction, Sequence[Any]], Awaitable[object]]
Handlers = Mapping[type[Event], Handler]


async def insert_fresh(tx: Transaction, queue: str, event_ids: Collection[UUID]) -> set[UUID]:
    """Claim `event_ids` for `queue`; those that were not there before."""
    statement = text(
        "INSERT INTO inbox (queue, event_id)"
        " SELECT CAST(:queue AS text), t.event_id"
        " FROM unnest(CAST(:event_ids AS uuid[])) AS t(event_id)"
        " ON CONFLICT (queue, event_id) DO NOTHING RETURNING event_id"
    )
    rows = await tx.execute(statement, {"queue": queue, "event_ids": sorted(event_ids)})
    return set(rows.scalars())


async def insert_dead_letter(tx: Transaction, queue: str, message: Message, error: str) -> None:
    """Set aside what could not be handled, for `cinesync queues`."""
    statement = text(
        "INSERT INTO dead_letters (queue, event_id, name, body, error)"
        " VALUES (CAST(:queue AS text), CAST(:event_id AS uuid), CAST(:name AS text),"
        " CAST(:body AS bytea), CAST(:error AS text))"
        " ON CONFLICT (queue, event_id) DO UPDATE SET error = excluded.error, died_at = now()"
    )
    await tx.execute(
        statement,
        {
            "queue": queue,
            "event_id": message.event_id,
            "name": message.name,
            "body": message.body,
            "error": error,
        },
    )


@dataclass(frozen=True, slots=True)
class Inbox:
    """One service's consumer of one event; `queue` is its name everywhere."""

    service: str
    event_type: type[Event]
    handler: Handler
    db: Database

    @property
    def queue(self) -> str:
        """`booking.payment.success` for booking's consumer of payment.success."""
        return f"{self.service}.{self.event_type.name}"

    async def receive(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        """Handle a batch; the failures by event id. What is not in it has been committed.

        A batch that fails is tried message by message, so that one bad message fails alone.
        Raises Unavailable when the database is away: nobody's fault, to be tried again.
        """
        try:
            await self._handle(messages)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 reported to the bus
            if len(messages) > 1:
                return await self._one_by_one(messages)
            log.warning(
                "event.failed",
                queue=self.queue,
                event_id=str(messages[0].event_id),
                error=repr(error),
                trace_id=_trace_id(messages[0]),
            )
            telemetry.EVENTS_HANDLED.labels(self.queue, "failed").inc()
            return {messages[0].event_id: error}
        return {}

    async def bury(self, message: Message, error: Exception) -> None:
        """Put a message that failed too often among the dead letters."""
        log.error(
            "event.dead",
            queue=self.queue,
            event_id=str(message.event_id),
            error=repr(error),
            trace_id=_trace_id(message),
        )
        await self.db.run(insert_dead_letter, self.queue, message, repr(error))

    async def _one_by_one(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        failures: dict[UUID, Exception] = {}
        for message in messages:
            failures |= await self.receive([message])
        return failures

    async def _handle(self, messages: Sequence[Message]) -> None:
        # A message may be in a batch twice.
        events = {one.event_id: decode(self.event_type, one.body) for one in messages}
        fresh = await self.db.run_repeatable(self._handle_fresh, events)
        telemetry.EVENTS_HANDLED.labels(self.queue, "handled").inc(len(fresh))
        if log.is_enabled_for(logging.INFO):
            self._tell(fresh)

    async def _handle_fresh(self, tx: Transaction, events: Mapping[UUID, Event]) -> list[Event]:
        fresh_ids = await insert_fresh(tx, self.queue, events)
        fresh = [event for event_id, event in events.items() if event_id in fresh_ids]
        if fresh:
            await self.handler(tx, fresh)
        return fresh

    def _tell(self, fresh: Sequence[Event]) -> None:
        for event in (event for event in fresh if event.trace):
            log.info(
                "event.handled",
                queue=self.queue,
                trace_id=telemetry.trace_id(event.trace),
                **{name: getattr(event, name) for name in _ids(type(event))},
            )


@cache
def _ids(kind: type[Event]) -> Sequence[str]:
    """What an event is about: its members that are ids."""
    return [field.name for field in msgspec.structs.fields(kind) if field.name.endswith("_id")]


def _trace_id(message: Message) -> str:
    try:
        envelope = msgspec.json.decode(message.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return ""
    return telemetry.trace_id(str(envelope.get("trace", "")))
