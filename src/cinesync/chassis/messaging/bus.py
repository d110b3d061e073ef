"""The bus between services, and the embedded one, whose queue is the outbox."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from uuid import UUID

from cinesync.chassis import telemetry
from cinesync.chassis.background import Loops
from cinesync.chassis.database.identity import DatabaseId
from cinesync.chassis.messaging.event import Event, Message, decode
from cinesync.chassis.messaging.inbox import Inbox

log = telemetry.get_logger(__name__)

DELIVERIES_MAX = 10

# Called in every process, at most once: for live views that are rebuilt from the database.
Listener = Callable[[Sequence[Any]], None]
Listeners = Mapping[type[Event], Listener]


class Bus(Protocol):
    """Delivers at least once, in any order, to each consumer or to its dead letters."""

    @property
    def loops(self) -> Loops:
        """Its background loops."""

    def subscribe(self, inbox: Inbox) -> None:
        """Deliver to a consumer; before `start`."""

    def listen(self, event_type: type[Event], listener: Listener) -> None:
        """Deliver to a listener of this process; before `start`."""

    def own(self, service: str, database: DatabaseId) -> None:
        """This process runs `service` on that database; before `start`."""

    async def start(self) -> None:
        """Begin to deliver."""

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        """The ids that the bus accepted; publish the others again."""

    async def close(self) -> None:
        """Finish what is running and return the rest."""

    def trouble(self) -> str | None:
        """Why it cannot deliver now, for readiness; None when it can."""

    def measures(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What the metrics collector calls from time to time."""


@dataclass
class EmbeddedBus:
    """Delivers within one process: accepts an event when every consumer has committed it."""

    deliveries_max: int = DELIVERIES_MAX
    loops: Loops = field(default_factory=Loops)  # none: the relays call it
    _inboxes: dict[str, list[Inbox]] = field(default_factory=lambda: defaultdict(list))
    _listeners: dict[str, list[tuple[type[Event], Listener]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _failures: dict[tuple[str, UUID], int] = field(default_factory=lambda: defaultdict(int))

    def subscribe(self, inbox: Inbox) -> None:
        self._inboxes[inbox.event_type.name].append(inbox)

    def listen(self, event_type: type[Event], listener: Listener) -> None:
        self._listeners[event_type.name].append((event_type, listener))

    def own(self, service: str, database: DatabaseId) -> None:
        """Nothing to claim: no other process can publish here."""

    async def start(self) -> None:
        """Nothing to connect: the relays call `publish`."""

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        grouped: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            grouped[message.name].append(message)
        return set().union(*await _all(self._deliver(name, part) for name, part in grouped.items()))

    async def close(self) -> None:
        """Nothing runs but what the relays call."""

    def trouble(self) -> str | None:
        return None

    def measures(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return ()

    async def _deliver(self, name: str, messages: Sequence[Message]) -> set[UUID]:
        parts = await _all(self._consume(inbox, messages) for inbox in self._inboxes[name])
        self._call_listeners(name, messages)  # last: they may read what was committed
        return {message.event_id for message in messages}.intersection(*parts)

    async def _consume(self, inbox: Inbox, messages: Sequence[Message]) -> set[UUID]:
        """What this consumer has committed or moved to its dead letters. Raises Unavailable."""
        failures = await inbox.handle(messages)
        return {
            message.event_id
            for message in messages
            if message.event_id not in failures
            or await self._is_dead(inbox, message, failures[message.event_id])
        }

    async def _is_dead(self, inbox: Inbox, message: Message, error: Exception) -> bool:
        """Count a failure; True when it was one too many, and the message is a dead letter."""
        key = (inbox.queue, message.event_id)
        self._failures[key] += 1
        if self._failures[key] < self.deliveries_max:
            return False
        await inbox.dead_letter(message, error)
        del self._failures[key]
        return True

    def _call_listeners(self, name: str, messages: Sequence[Message]) -> None:
        for event_type, listener in self._listeners[name]:
            try:
                listener([decode(event_type, message.body) for message in messages])
            except Exception:
                log.exception("listener.failed", event_name=name)


async def _all(parts: Iterable[Coroutine[Any, Any, set[UUID]]]) -> list[set[UUID]]:
    """Run them concurrently, each to its end; then raise what the first one raised."""
    results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[set[UUID]]", results)
