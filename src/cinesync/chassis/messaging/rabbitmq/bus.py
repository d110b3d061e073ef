"""The bus over RabbitMQ: quorum queues, publisher confirms, acknowledgement after the commit."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from cinesync.chassis import background, telemetry
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.database.gauges import DEAD_LETTERS
from cinesync.chassis.database.identity import DatabaseId
from cinesync.chassis.messaging.bus import DELIVERIES_MAX, Listener
from cinesync.chassis.messaging.event import Event, Message, decode
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.rabbitmq.connection import RPC_SECONDS_MAX, AmqpConnection
from cinesync.chassis.messaging.rabbitmq.consumer import (
    WATCHDOG_SECONDS,
    Consumer,
    OpenQueue,
    Subscription,
)
from cinesync.chassis.messaging.rabbitmq.declaration import Declaration
from cinesync.chassis.messaging.rabbitmq.legacy_queues import IDLE_SECONDS, LegacyQueue
from cinesync.chassis.messaging.rabbitmq.ownership import ForeignQueues, Ownership
from cinesync.chassis.messaging.rabbitmq.publisher import BrokerUnavailable, Publisher
from cinesync.chassis.messaging.rabbitmq.topology import EXCHANGE, Topology

log = telemetry.get_logger(__name__)

PREFETCH = 500
RECONNECT_SECONDS = 1.0
# How long a start waits for the broker; then the process starts without it.
START_SECONDS_MAX = 5.0
CLOSE_SECONDS_MAX = 30.0


class RabbitMqBus:
    """At least once through quorum queues; to listeners at most once, through a queue per process.

    `consumers` names the consumers of each event. An event without any may be unroutable: it counts
    as published.
    """

    def __init__(
        self,
        url: str,
        *,
        exchange: str = EXCHANGE,
        shop: str = "",
        prefetch: int = PREFETCH,
        deliveries_max: int = DELIVERIES_MAX,
        consumers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._topology = Topology(exchange, shop)
        self._ownership = Ownership(self._topology)
        self._prefetch = prefetch
        self._deliveries_max = deliveries_max
        self._publishing = AmqpConnection(url, "cinesync publisher")
        self._consuming = AmqpConnection(url, "cinesync consumer")
        names_by_consumer = {c: name for name, some in (consumers or {}).items() for c in some}
        self._declaration = Declaration(self._topology, self._ownership, names_by_consumer)
        self._publisher = Publisher(
            self._publishing,
            self._topology,
            self._declaration,
            without_consumers=[name for name, some in (consumers or {}).items() if not some],
        )
        self._consumers: list[Consumer] = []
        self._subscriptions: list[Subscription] = []
        self._listeners: dict[str, list[tuple[type[Event], Listener]]] = defaultdict(list)
        self._services_with_legacy_queues: set[str] = set()
        self.loops = Loops()

    def subscribe(self, inbox: Inbox) -> None:
        """Deliver to a consumer; before `start`."""
        self._declaration.bindings[inbox.queue] = inbox.event_type.name
        consumer = Consumer(inbox, self._publisher, deliveries_max=self._deliveries_max)
        queue = self._topology.queue(inbox.queue)
        consumer.subscription = Subscription(
            self._consuming,
            queue,
            self._opener(queue),
            consumer.handle,
            batch_max=self._prefetch,
        )
        self._consumers.append(consumer)
        self._subscriptions.append(consumer.subscription)

    def listen(self, event_type: type[Event], listener: Listener) -> None:
        """Deliver to a listener of this process; before `start`."""
        self._listeners[event_type.name].append((event_type, listener))

    def own(self, service: str, database: DatabaseId) -> None:
        """This process runs `service` on that database; before `start`."""
        self._ownership.owners[service] = str(database.id)
        if database.is_older_than_shop_ids:
            self._services_with_legacy_queues.add(service)

    async def start(self) -> None:
        """Declare the topology and begin to deliver; without the broker, in the background.

        Raises ForeignQueues when the queues of our name belong to another shop.
        """
        await self._declare_at_start()
        if self._listeners:
            self._subscriptions.append(self._listeners_subscription())
        self.loops.start(
            *(
                Loop(s.name, s.run, WATCHDOG_SECONDS, ends_by_itself=True)
                for s in self._subscriptions
            )
        )
        self.loops.start(Loop("bus.connection", self._stay_connected))
        self.loops.start(*(Loop(q.name, q.run, IDLE_SECONDS) for q in self._legacy_queues()))

    async def declare(self) -> int:
        """Declare the topology; how many queues it has. For `cinesync migrate`.

        Raises ForeignQueues, and what the network raises.
        """
        await self._declaration.ensure(self._publishing)
        return len(self._declaration.bindings)

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        """The ids that are safe with the broker now. Raises BrokerUnavailable."""
        return await self._publisher.publish(messages)

    async def close(self) -> None:
        """Finish the running batches; unacknowledged messages go back to their queues."""
        for subscription in self._subscriptions:
            subscription.stop()
        await self.loops.close(seconds=CLOSE_SECONDS_MAX)
        for consumer in self._consumers:
            await consumer.close()
        await self._publisher.close()
        await self._consuming.close()
        await self._publishing.close()

    def trouble(self) -> str | None:
        """Why it cannot deliver now; None when it can."""
        if not self._publishing.is_open:
            return "the message broker does not answer"
        return next((s.trouble for s in self._subscriptions if s.trouble), None)

    def measures(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """The dead letters of its own queues: those are in the broker."""
        return [self._count_dead_letters]

    async def _count_dead_letters(self) -> None:
        for consumer in self._consumers:
            dead_queue = self._topology.dead_queue(consumer.name)
            count = await self._consuming.message_count(dead_queue)
            DEAD_LETTERS.labels(consumer.name).set(count or 0)

    async def _stay_connected(self) -> None:
        """Reconnect although nothing is published: readiness depends on it."""
        while True:
            try:
                await self._publisher.open()
                background.succeeded()
            except (BrokerUnavailable, ForeignQueues) as error:
                background.failed(error.__cause__ or error)
                log.warning("bus.away", reason=repr(error.__cause__ or error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _declare_at_start(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await self.declare()
        except ForeignQueues:
            raise
        except Exception as error:  # noqa: BLE001 `_stay_connected` tries again
            log.warning("bus.away", reason=repr(error))

    def _opener(self, queue: str) -> OpenQueue:
        async def open_queue(channel: AbstractChannel) -> AbstractQueue:
            await self._declaration.ensure(self._consuming)
            try:
                return await channel.declare_queue(queue, passive=True, timeout=RPC_SECONDS_MAX)
            except ChannelNotFoundEntity:
                log.warning("topology.queue_missing", queue=queue)
                self._declaration.forget()
                raise

        return open_queue

    def _legacy_queues(self) -> list[LegacyQueue]:
        """Those that a version without shop ids left."""
        return [
            LegacyQueue(
                self._consuming, consumer.name, consumer.handle, self._publisher.dead_letter
            )
            for consumer in self._consumers
            if consumer.name.partition(".")[0] in self._services_with_legacy_queues
        ]

    def _listeners_subscription(self) -> Subscription:
        async def open_queue(channel: AbstractChannel) -> AbstractQueue:
            return await self._topology.declare_listening_queue(channel, self._listeners)

        return Subscription(
            self._consuming,
            "listeners",
            open_queue,
            self._call_listeners,
            batch_max=self._prefetch,
            no_ack=True,
        )

    async def _call_listeners(self, arrived: Sequence[AbstractIncomingMessage]) -> None:
        for name, listeners in self._listeners.items():
            bodies = [message.body for message in arrived if message.routing_key == name]
            for event_type, listener in listeners if bodies else ():
                try:
                    listener([decode(event_type, body) for body in bodies])
                except Exception:
                    log.exception("listener.failed", name=name)
