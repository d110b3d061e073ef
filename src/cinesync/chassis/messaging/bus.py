"""What carries events between services, and the embedded kind: the outbox rows are the queue."""

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

# Called in every process, at most once: for live pictures that heal themselves from the database.
Listener = Callable[[Sequence[Any]], None]
Listeners = Mapping[type[Event], Listener]


class Bus(Protocol):
    """At least once, in any order; what it took reaches every consumer or the dead letters."""

    @property
    def loops(self) -> Loops:
        """What it runs in the background."""

    def subscribe(self, inbox: Inbox) -> None:
        """Feed a consumer; before `start`."""

    def listen(self, event_type: type[Event], listener: Listener) -> None:
        """Feed a live picture of this process; before `start`."""

    def own(self, service: str, database: DatabaseId) -> None:
        """This process runs `service` on that database; before `start`."""

    async def start(self) -> None:
        """Begin to deliver."""

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        """The ids that are safe with the bus now; the others are to be published again."""

    async def close(self) -> None:
        """Finish what is running and hand the rest back."""

    def trouble(self) -> str | None:
        """Why it cannot deliver at this moment, for readiness; None when all is well."""

    def measures(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What is counted for metrics now and then."""


@dataclass
class EmbeddedBus:
    """Delivers within one process: a row counts as taken when every consumer has committed it."""

    deliveries_max: int = DELIVERIES_MAX
    loops: Loops = field(default_factory=Loops)  # none: the relays drive it
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
        """Nobody else could hear what is said in this process."""

    async def start(self) -> None:
        """Nothing to connect: the relays drive it."""

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        grouped: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            grouped[message.name].append(message)
        return set().union(*await _all(self._deliver(name, part) for name, part in grouped.items()))

    async def close(self) -> None:
        """Nothing is in flight but the relays' own calls."""

    def trouble(self) -> str | None:
        return None

    def measures(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return ()

    async def _deliver(self, name: str, messages: Sequence[Message]) -> set[UUID]:
        parts = await _all(self._consume(inbox, messages) for inbox in self._inboxes[name])
        self._tell_listeners(name, messages)  # last: who looks again sees what was committed
        return {message.event_id for message in messages}.intersection(*parts)

    async def _consume(self, inbox: Inbox, messages: Sequence[Message]) -> set[UUID]:
        """What this consumer has committed or buried. Raises Unavailable."""
        failures = await inbox.receive(messages)
        return {
            message.event_id
            for message in messages
            if message.event_id not in failures
            or await self._bury(inbox, message, failures[message.event_id])
        }

    async def _bury(self, inbox: Inbox, message: Message, error: Exception) -> bool:
        """Count a failure; True when the message went to the dead letters."""
        key = (inbox.queue, message.event_id)
        self._failures[key] += 1
        if self._failures[key] < self.deliveries_max:
            return False
        await inbox.bury(message, error)
        del self._failures[key]
        return True

    def _tell_listeners(self, name: str, messages: Sequence[Message]) -> None:
        for event_type, listener in self._listeners[name]:
            try:
                listener([decode(event_type, message.body) for message in messages])
            except Exception:
                log.exception("listener.failed", event_name=name)


async def _all(parts: Iterable[Coroutine[Any, Any, set[UUID]]]) -> list[set[UUID]]:
    """Side by side, each to its end; then raises what the first one raised."""
    results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[set[UUID]]", results)
