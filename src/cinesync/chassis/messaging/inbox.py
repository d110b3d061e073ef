"""Consumes events: each may arrive several times, and takes effect once.

Theory of operation
-------------------
Both buses deliver at least once, in any order. The inbox makes the effect happen once: it inserts a
row `(queue, event_id)` in the same transaction in which the handler writes its effect and the
events that follow from it. A second delivery finds the row, and the handler does not get the event.
The rows are kept: an event that comes back after a month is still known.

A bus acknowledges an event after this transaction has committed. A crash between the commit and the
acknowledgement causes a second delivery, and nothing else.

Events are handled in batches, for one commit instead of hundreds. When a batch fails, it is rolled
back and each of its messages is tried alone, so that one bad message fails alone. The bus counts
the failures of a message, and moves it to the dead letters after DELIVERIES_MAX of them. While the
database is unavailable nothing is counted: the messages did not fail.

Written by hand, because inbox, effect and outbox must be one transaction of our own database layer,
which retries it as a whole; the libraries for this bring an ORM or a bus of their own.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from cinesync.chassis import telemetry
from cinesync.chassis.database import Database, Transaction, batch, binds, compiled, insert_from
from cinesync.chassis.database.tables import dead_letters, inbox
from cinesync.chassis.messaging.event import Event, Message, decode
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

# A handler gets only events that it has not committed yet, in the order of their arrival.
EventHandler = Callable[[Transaction, Sequence[Any]], Awaitable[object]]
Handlers = Mapping[type[Event], EventHandler]

INSERT_NEW = compiled(
    insert_from(inbox, batch("events", inbox.c.event_id), queue=bindparam("queue"))
    .on_conflict_do_nothing(index_elements=list(inbox.primary_key))
    .returning(inbox.c.event_id)
)
_letter = insert(dead_letters).values(binds("queue", "event_id", "name", "body", "error"))
INSERT_DEAD_LETTER = compiled(
    _letter.on_conflict_do_update(
        index_elements=list(dead_letters.primary_key),
        set_={"error": _letter.excluded.error, "died_at": func.now()},
    )
)


async def insert_new(tx: Transaction, queue: str, event_ids: Collection[UUID]) -> set[UUID]:
    """Insert `event_ids` for `queue`; returns those that were not there before."""
    rows = [(event_id,) for event_id in sorted(event_ids)]
    found = await tx.execute(INSERT_NEW, {"queue": queue, "events": rows})
    return set(found.scalars())


async def insert_dead_letter(tx: Transaction, queue: str, message: Message, error: str) -> None:
    """Store a message that could not be handled, for `cinesync queues`."""
    letter = {
        "queue": queue,
        "event_id": message.event_id,
        "name": message.name,
        "body": message.body,
        "error": error,
    }
    await tx.execute(INSERT_DEAD_LETTER, letter)


@dataclass(frozen=True, slots=True)
class Inbox:
    """One service's consumer of one event. `queue` is its name on every bus."""

    service: str
    event_type: type[Event]
    handler: EventHandler
    db: Database

    @property
    def queue(self) -> str:
        """`booking.payment.success` for booking's consumer of payment.success."""
        return f"{self.service}.{self.event_type.name}"

    async def handle(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        """Handle a batch; returns the failures by event id. All others are committed.

        Raises Unavailable when the database is unavailable: try the batch again later.
        """
        try:
            await self._commit(messages)
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

    async def dead_letter(self, message: Message, error: Exception) -> None:
        """Store a message that failed too often."""
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
            failures |= await self.handle([message])
        return failures

    async def _commit(self, messages: Sequence[Message]) -> None:
        # A message may be in a batch twice.
        events = {one.event_id: decode(self.event_type, one.body) for one in messages}
        traces = (event.trace for event in events.values())
        with telemetry.batch_span(f"process {self.queue}", traces, "consumer"):
            new = await self.db.run_repeatable(self._apply, events)
        telemetry.EVENTS_HANDLED.labels(self.queue, "handled").inc(len(new))
        if log.is_enabled_for(logging.INFO):
            self._log_handled(new)

    async def _apply(self, tx: Transaction, events: Mapping[UUID, Event]) -> list[Event]:
        new_ids = await insert_new(tx, self.queue, events)
        new = [event for event_id, event in events.items() if event_id in new_ids]
        if new:
            await self.handler(tx, new)
        return new

    def _log_handled(self, new: Sequence[Event]) -> None:
        for event in (event for event in new if event.trace):
            log.info(
                "event.handled",
                queue=self.queue,
                trace_id=telemetry.trace_id(event.trace),
                **{name: getattr(event, name) for name in _ids(type(event))},
            )


@cache
def _ids(kind: type[Event]) -> Sequence[str]:
    """The ids in an event, which say what it is about."""
    return [field.name for field in msgspec.structs.fields(kind) if field.name.endswith("_id")]


def _trace_id(message: Message) -> str:
    try:
        envelope = msgspec.json.decode(message.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return ""
    return telemetry.trace_id(str(envelope.get("trace", "")))
