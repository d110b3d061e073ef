"""The bus over RabbitMQ: quorum queues, publisher confirms, acks after the database's commit."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from cinesync.chassis import background, telemetry
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.database.gauges import DEAD_LETTERS
from cinesync.chassis.database.identity import DatabaseId
from cinesync.chassis.messaging.bus import DELIVERIES_MAX, Listener
from cinesync.chassis.messaging.event import Event, Message, decode
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.rabbitmq.connection import WATCH_SECONDS, Link, Subscription
from cinesync.chassis.messaging.rabbitmq.legacy_queues import IDLE_SECONDS, Takeover
from cinesync.chassis.messaging.rabbitmq.ownership import ForeignQueues, Ownership
from cinesync.chassis.messaging.rabbitmq.publisher import BrokerAway, Publisher
from cinesync.chassis.messaging.rabbitmq.topology import EXCHANGE, Topology, deliveries
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

PREFETCH = 500
RECONNECT_SECONDS = 1.0
FIRST_LOOK_SECONDS_MAX = 3.0
CLOSE_SECONDS_MAX = 30.0
RETRY_SECONDS_FIRST = 0.1
RETRY_SECONDS_MAX = 10.0


class Feed:
    """Feeds one inbox from its queue; acknowledges what is committed."""

    def __init__(
        self, inbox: Inbox, publisher: Publisher, *, deliveries_max: int = DELIVERIES_MAX
    ) -> None:
        self._inbox = inbox
        self._publisher = publisher
        self._deliveries_max = deliveries_max
        self._later: set[asyncio.Task[None]] = set()
        self.subscription: Subscription | None = None
        self.queue = inbox.queue

    @property
    def consumer(self) -> str:
        """`booking.payment.success`."""
        return self._inbox.queue

    async def handle(self, arrived: Sequence[AbstractIncomingMessage]) -> None:
        """One batch. Raises when the broker is lost: what was not acknowledged comes again."""
        by_id: dict[UUID, list[AbstractIncomingMessage]] = defaultdict(list)
        for message in arrived:
            event_id = _event_id(message)
            if event_id is None:
                await self._bury(message, "the message id is not a UUID")
            else:
                by_id[event_id].append(message)
        failures = await self._receive(
            [Message(i, same[0].type or "", same[0].body) for i, same in by_id.items()]
        )
        if failures is None:
            return
        if by_id and not failures and not self._later:
            # One word for all that was delivered so far, of which none waits for another try.
            last = max(chain(*by_id.values()), key=lambda message: message.delivery_tag or 0)
            await last.ack(multiple=True)
            return
        for event_id, same in by_id.items():
            for message in same:
                await self._settle(message, failures.get(event_id))

    async def close(self) -> None:
        """Messages that waited for another try go back with their channel."""
        for task in self._later:
            task.cancel()

    async def _receive(self, messages: Sequence[Message]) -> dict[UUID, Exception] | None:
        """The failures; None when told to stop while our own database is away."""
        backoff_seconds = RETRY_SECONDS_FIRST
        while messages:
            try:
                return await self._inbox.receive(messages)
            except Unavailable as error:
                # Not the messages' fault: they wait here, and no delivery is counted.
                background.failed(error)
                log.warning("bus.waiting", queue=self._inbox.queue, reason=str(error))
                if self.subscription is not None and self.subscription.is_stopping:
                    return None
                await asyncio.sleep(backoff_seconds)
                backoff_seconds = min(backoff_seconds * 2, RETRY_SECONDS_MAX)
        return {}

    async def _settle(self, message: AbstractIncomingMessage, error: Exception | None) -> None:
        if error is None:
            await message.ack()
        elif deliveries(message) + 1 >= self._deliveries_max:
            await self._bury(message, repr(error))
        else:
            task = asyncio.create_task(self._return_later(message))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def _return_later(self, message: AbstractIncomingMessage) -> None:
        seconds = RETRY_SECONDS_FIRST * 2 ** min(deliveries(message), 10)
        await asyncio.sleep(min(seconds, RETRY_SECONDS_MAX))
        with contextlib.suppress(Exception):  # a lost channel has returned it already
            await message.nack(requeue=True)

    async def _bury(self, message: AbstractIncomingMessage, error: str) -> None:
        log.error("event.dead", queue=self._inbox.queue, event_id=message.message_id, error=error)
        if await self._publisher.bury(self._inbox.queue, message, error):
            await message.ack()
        else:
            await message.nack(requeue=True)


class RabbitMqBus:
    """At least once through quorum queues; listeners through a queue of each process.

    `consumers` names the queues of each event. Nothing is published before they are all there, so
    that an event loses none of its consumers to being the first; one that needs none may be
    returned, which is no failure.
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
        # Two connections: a broker under pressure stops publishers, and must not stop consumers.
        self._publishing = Link(url, "cinesync publisher")
        self._consuming = Link(url, "cinesync consumer")
        self._publisher = Publisher(
            self._publishing, self._topology, consumers or {}, self._ownership
        )
        self._feeds: list[Feed] = []
        self._subscriptions: list[Subscription] = []
        self._listeners: dict[str, list[tuple[type[Event], Listener]]] = defaultdict(list)
        self._older: set[str] = set()
        self.loops = Loops()

    def subscribe(self, inbox: Inbox) -> None:
        """Feed a consumer; before `start`."""
        feed = Feed(inbox, self._publisher, deliveries_max=self._deliveries_max)

        async def declare(channel: AbstractChannel) -> AbstractQueue:
            await self._ownership.check(self._consuming)
            await self._topology.establish(self._consuming, {inbox.queue: inbox.event_type.name})
            return await channel.get_queue(queue, ensure=False)

        queue = self._topology.queue(inbox.queue)
        feed.subscription = Subscription(
            self._consuming, queue, declare, feed.handle, batch_max=self._prefetch
        )
        self._feeds.append(feed)
        self._subscriptions.append(feed.subscription)

    def listen(self, event_type: type[Event], listener: Listener) -> None:
        """Feed a live picture of this process; before `start`."""
        self._listeners[event_type.name].append((event_type, listener))

    def own(self, service: str, database: DatabaseId) -> None:
        """This process runs `service` on that database; before `start`."""
        self._ownership.owners[service] = str(database.id)
        if database.is_older_than_shop_ids:
            self._older.add(service)

    async def start(self) -> None:
        """Begin to deliver. A broker that is away is waited for, in the background.

        Raises ForeignQueues when it is there, and has another shop of our name.
        """
        await self._refuse_foreign()
        if self._listeners:
            self._subscriptions.append(self._listening())
        idle = WATCH_SECONDS  # a quiet queue is looked at so often
        self.loops.start(
            *(Loop(s.name, s.run, idle, ends_by_itself=True) for s in self._subscriptions)
        )
        self.loops.start(Loop("bus.connection", self._stay_connected))
        self.loops.start(*(Loop(t.name, t.run, IDLE_SECONDS) for t in self._takeovers()))

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        """The ids that are safe with the broker now. Raises BrokerAway."""
        return await self._publisher.publish(messages)

    async def close(self) -> None:
        """Finish the running batches; unacknowledged messages go back to their queues."""
        for subscription in self._subscriptions:
            subscription.stop()
        await self.loops.close(seconds=CLOSE_SECONDS_MAX)
        for feed in self._feeds:
            await feed.close()
        await self._publisher.close()
        await self._consuming.close()
        await self._publishing.close()

    def trouble(self) -> str | None:
        """Why it cannot deliver at this moment; None when all is well."""
        if not self._publishing.is_open:
            return "the message broker does not answer"
        return next((s.trouble for s in self._subscriptions if s.trouble), None)

    def measures(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """The dead letters of its own queues: those are in the broker."""
        return [self._count_dead_letters]

    async def _count_dead_letters(self) -> None:
        for feed in self._feeds:
            dead = self._topology.dead_queue(feed.queue)
            count = await self._consuming.message_count(dead)
            DEAD_LETTERS.labels(feed.queue).set(count or 0)

    async def _stay_connected(self) -> None:
        """Only relays with something to say would notice that the broker is back."""
        while True:
            try:
                await self._publisher.open()
                background.succeeded()
            except (BrokerAway, ForeignQueues) as error:
                background.failed(error.__cause__ or error)
                log.warning("bus.away", reason=repr(error.__cause__ or error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _refuse_foreign(self) -> None:
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS_MAX):
                await self._ownership.check(self._publishing)
        except ForeignQueues:
            raise
        except Exception as error:  # noqa: BLE001 away: whoever connects later looks again
            log.warning("bus.away", reason=repr(error))

    def _takeovers(self) -> list[Takeover]:
        """Of the queues that an older version of this shop left."""
        return [
            Takeover(self._consuming, feed.consumer, feed.handle, self._publisher.bury)
            for feed in self._feeds
            if feed.consumer.partition(".")[0] in self._older
        ]

    def _listening(self) -> Subscription:
        async def declare(channel: AbstractChannel) -> AbstractQueue:
            return await self._topology.declare_listening_queue(channel, self._listeners)

        return Subscription(
            self._consuming,
            "listeners",
            declare,
            self._tell_listeners,
            batch_max=self._prefetch,
            no_ack=True,
        )

    async def _tell_listeners(self, arrived: Sequence[AbstractIncomingMessage]) -> None:
        for name, listeners in self._listeners.items():
            bodies = [message.body for message in arrived if message.routing_key == name]
            for event_type, listener in listeners if bodies else ():
                try:
                    listener([decode(event_type, body) for body in bodies])
                except Exception:
                    log.exception("listener.failed", name=name)


def _event_id(message: AbstractIncomingMessage) -> UUID | None:
    try:
        return UUID(message.message_id)
    except (TypeError, ValueError, AttributeError):
        return None
