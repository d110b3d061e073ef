"""Consumers of RabbitMQ queues: batches, acknowledgement after commit, return after a failure."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from cinesync.chassis import background, clock, telemetry
from cinesync.chassis.backoff import Backoff
from cinesync.chassis.messaging.bus import DELIVERIES_MAX
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.rabbitmq.connection import (
    RPC_SECONDS_MAX,
    AmqpConnection,
    close_channel,
)
from cinesync.chassis.messaging.rabbitmq.publisher import Publisher
from cinesync.chassis.messaging.rabbitmq.topology import delivery_count
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

RESUBSCRIBING = Backoff(first_seconds=0.1, seconds_max=5.0)
RETRYING = Backoff(first_seconds=0.1, seconds_max=10.0)
# After a batch, a subscription pauses for as long as the batch took, so that single messages gather
# into batches when the machine is busy. A message after a quiet time is handled at once.
PAUSE_SECONDS_MAX = 0.1
# How often an idle subscription asks the broker whether its consumer still exists.
WATCHDOG_SECONDS = 15.0

OpenQueue = Callable[[AbstractChannel], Awaitable[AbstractQueue]]
HandleBatch = Callable[[Sequence[AbstractIncomingMessage]], Awaitable[None]]


class Subscription:
    """Passes what arrives in a queue to `handle`, in batches, and subscribes again when lost."""

    def __init__(
        self,
        connection: AmqpConnection,
        name: str,
        open_queue: OpenQueue,
        handle: HandleBatch,
        *,
        batch_max: int,
        no_ack: bool = False,
        watchdog_seconds: float = WATCHDOG_SECONDS,
    ) -> None:
        self._connection = connection
        self.name = name
        self._open_queue = open_queue
        self._handle = handle
        self._batch_max = batch_max
        self._no_ack = no_ack
        self._watchdog_seconds = watchdog_seconds
        # None wakes the reader up: the subscription was lost, or is to stop.
        self._arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._stopping = asyncio.Event()
        self.trouble: str | None = f"{name}: not subscribed yet"

    async def run(self) -> None:
        """Consume until `stop`."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._consume()
                failures = 0
            except Exception as error:  # noqa: BLE001 the subscription outlives every outage
                self.trouble = f"{self.name}: {type(error).__name__}"
                background.failed(error)
                log.warning("bus.resubscribing", queue=self.name, reason=repr(error))
                failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESUBSCRIBING.pause_seconds(max(failures, 1))):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Finish the running batch and return the other messages to the queue."""
        self._stopping.set()
        self._arrived.put_nowait(None)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def _consume(self) -> None:
        """Returns when the subscription was lost, or is to stop."""
        self._arrived = asyncio.Queue()
        channel = await self._connection.channel()
        try:
            await self._subscribe(channel)
            self.trouble = None
            background.succeeded()
            while batch := await self._next_batch():
                began_at = clock.monotonic_seconds()
                await self._handle(batch)
                background.succeeded()
                if len(batch) < self._batch_max:
                    took_seconds = clock.monotonic_seconds() - began_at
                    await asyncio.sleep(min(took_seconds, PAUSE_SECONDS_MAX))
            self.trouble = f"{self.name}: subscription lost"
        finally:
            await close_channel(channel)

    async def _subscribe(self, channel: AbstractChannel) -> None:
        arrived = self._arrived

        def lost(*_: object) -> None:
            arrived.put_nowait(None)

        channel.close_callbacks.add(lost)
        underlay = await channel.get_underlay_channel()
        # A broker that moves or deletes the queue cancels its consumers and closes nothing.
        underlay.on_consumer_cancel_callbacks.add(lost)
        await channel.set_qos(prefetch_count=self._batch_max, timeout=RPC_SECONDS_MAX)
        queue = await self._open_queue(channel)
        await queue.consume(arrived.put, no_ack=self._no_ack, timeout=RPC_SECONDS_MAX)

    async def _next_batch(self) -> list[AbstractIncomingMessage]:
        """What has arrived, at least one message; empty when the subscription is over."""
        batch: list[AbstractIncomingMessage] = []
        message = await self._next_message()
        while message is not None:
            batch.append(message)
            if self._arrived.empty() or len(batch) == self._batch_max:
                return batch
            message = self._arrived.get_nowait()
        # The broker redelivers what the closed channel had delivered.
        return []

    async def _next_message(self) -> AbstractIncomingMessage | None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._watchdog_seconds):
                    return await self._arrived.get()
            except TimeoutError:
                if not await self._has_consumer():
                    return None
                background.succeeded()
        return None

    async def _has_consumer(self) -> bool:
        """The watchdog: consumers have vanished silently after a node's maintenance."""
        if self._no_ack:  # an exclusive queue ends with its connection
            return True
        return bool(await self._connection.consumer_count(self.name))


class Consumer:
    """Passes batches to one inbox, and acknowledges what the inbox committed."""

    def __init__(
        self, inbox: Inbox, publisher: Publisher, *, deliveries_max: int = DELIVERIES_MAX
    ) -> None:
        self._inbox = inbox
        self._publisher = publisher
        self._deliveries_max = deliveries_max
        self._returning: set[asyncio.Task[None]] = set()
        self.subscription: Subscription | None = None
        self.name = inbox.queue

    async def handle(self, arrived: Sequence[AbstractIncomingMessage]) -> None:
        """Handle one batch. Raises when the broker is lost: it redelivers what was not acked."""
        by_id: dict[UUID, list[AbstractIncomingMessage]] = defaultdict(list)
        for message in arrived:
            event_id = _event_id(message)
            if event_id is None:
                await self._dead_letter(message, "the message id is not a UUID")
            else:
                by_id[event_id].append(message)
        failures = await self._commit(
            [Message(i, same[0].type or "", same[0].body) for i, same in by_id.items()]
        )
        if failures is None:
            return
        if by_id and not failures and not self._returning:
            # One ack for all that was delivered so far: none of it waits to be returned.
            last = max(chain(*by_id.values()), key=lambda message: message.delivery_tag or 0)
            await last.ack(multiple=True)
            return
        for event_id, same in by_id.items():
            for message in same:
                await self._settle(message, failures.get(event_id))

    async def close(self) -> None:
        """Messages that wait to be returned go back to the queue with their channel."""
        for task in self._returning:
            task.cancel()

    async def _commit(self, messages: Sequence[Message]) -> dict[UUID, Exception] | None:
        """The failures; None when stopped while the inbox's database is unavailable."""
        failures = 0
        while messages:
            try:
                return await self._inbox.handle(messages)
            except Unavailable as error:
                # The messages did not fail: they wait here, and no delivery is counted.
                background.failed(error)
                log.warning("bus.waiting", queue=self.name, reason=str(error))
                if self.subscription is not None and self.subscription.is_stopping:
                    return None
                failures += 1
                await asyncio.sleep(RETRYING.pause_seconds(failures))
        return {}

    async def _settle(self, message: AbstractIncomingMessage, error: Exception | None) -> None:
        if error is None:
            await message.ack()
        elif delivery_count(message) + 1 >= self._deliveries_max:
            await self._dead_letter(message, repr(error))
        else:
            task = asyncio.create_task(self._return_later(message))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _return_later(self, message: AbstractIncomingMessage) -> None:
        await asyncio.sleep(RETRYING.pause_seconds(delivery_count(message) + 1))
        with contextlib.suppress(Exception):  # a lost channel has returned it already
            await message.nack(requeue=True)

    async def _dead_letter(self, message: AbstractIncomingMessage, error: str) -> None:
        log.error("event.dead", queue=self.name, event_id=message.message_id, error=error)
        if await self._publisher.dead_letter(self.name, message, error):
            await message.ack()
        else:
            await message.nack(requeue=True)


def _event_id(message: AbstractIncomingMessage) -> UUID | None:
    try:
        return UUID(message.message_id)
    except (TypeError, ValueError, AttributeError):
        return None
