"""AMQP connections and subscriptions that come back by themselves after every loss."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from cinesync.chassis import background, clock, telemetry

log = telemetry.get_logger(__name__)

CONNECT_SECONDS_MAX = 10.0
RPC_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 5.0
BACKOFF_SECONDS_FIRST = 0.1
BACKOFF_SECONDS_MAX = 5.0
# After a batch, a reader rests as long as that took: what comes one by one is then taken together,
# the more so the busier the machine is. What comes after a pause is taken at once.
REST_SECONDS_MAX = 0.1
# How often an idle subscription asks the broker whether it still exists.
WATCH_SECONDS = 15.0

T = TypeVar("T")

Declare = Callable[[AbstractChannel], Awaitable[AbstractQueue]]
Handle = Callable[[Sequence[AbstractIncomingMessage]], Awaitable[None]]


class Link:
    """One connection to the broker, opened when it is needed and anew after it broke."""

    # aio-pika's own robust connection restores in the background, where a publish may hang and a
    # consumer may be forgotten; here whoever needs the connection opens it and sees it fail.

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the broker was there when last heard of."""
        return self._connection is not None and self._connection.connected.is_set()

    async def channel(self, *, on_return_raises: bool = False) -> AbstractChannel:
        """A new channel with publisher confirms. Raises what the network raises."""
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            connection = await self._open()
            channel = connection.channel(on_return_raises=on_return_raises)
            await channel.initialize()
            return channel

    async def consumer_count(self, queue: str) -> int | None:
        """How many consume `queue`; None when there is no such queue."""
        found = await self._look(
            lambda probe: probe.declare_queue(queue, passive=True, timeout=RPC_SECONDS_MAX)
        )
        return None if found is None else found.declaration_result.consumer_count or 0

    async def message_count(self, queue: str) -> int | None:
        """How many messages of `queue` are ready for a consumer; None: there is no such queue."""
        found = await self._look(
            lambda probe: probe.declare_queue(queue, passive=True, timeout=RPC_SECONDS_MAX)
        )
        return None if found is None else found.declaration_result.message_count or 0

    async def has_exchange(self, name: str) -> bool:
        """Whether there is an exchange called `name`."""
        found = await self._look(
            lambda probe: probe.declare_exchange(name, passive=True, timeout=RPC_SECONDS_MAX)
        )
        return found is not None

    async def _look(self, passively: Callable[[AbstractChannel], Awaitable[T]]) -> T | None:
        """None when there is no such thing: the broker closes the channel of who asks for it."""
        probe = await self.channel()
        try:
            return await passively(probe)
        except ChannelNotFoundEntity:
            return None
        finally:
            await close_channel(probe)

    async def close(self) -> None:
        """Say goodbye, or hang up when nobody answers."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await connection.close()

    async def _open(self) -> AbstractConnection:
        async with self._opening:
            if self._connection is None or not self.is_open:
                await self.close()
                self._connection = await aio_pika.connect(
                    self._url,
                    timeout=CONNECT_SECONDS_MAX,
                    client_properties={"connection_name": self._name},
                )
            return self._connection


async def close_channel(channel: AbstractChannel) -> None:
    """What was not acknowledged on it goes back to its queue."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await channel.close()


class Subscription:
    """Feeds what arrives in a queue to `handle`, in batches, and subscribes again when lost."""

    def __init__(
        self,
        link: Link,
        name: str,
        declare: Declare,
        handle: Handle,
        *,
        batch_max: int,
        no_ack: bool = False,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._link = link
        self.name = name
        self._declare = declare
        self._handle = handle
        self._batch_max = batch_max
        self._no_ack = no_ack
        self._watch_seconds = watch_seconds
        # None wakes the reader up: the subscription was lost, or is to stop.
        self._arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._stopping = asyncio.Event()
        self.trouble: str | None = f"{name}: not subscribed yet"

    async def run(self) -> None:
        """Consume until told to stop."""
        backoff_seconds = BACKOFF_SECONDS_FIRST
        while not self._stopping.is_set():
            try:
                await self._subscribe_once()
                backoff_seconds = BACKOFF_SECONDS_FIRST
            except Exception as error:  # noqa: BLE001 the subscription outlives every outage
                self.trouble = f"{self.name}: {type(error).__name__}"
                background.failed(error)
                log.warning("bus.resubscribing", queue=self.name, reason=repr(error))
                backoff_seconds = min(backoff_seconds * 2, BACKOFF_SECONDS_MAX)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_seconds):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Let the running batch finish and return the rest to the queue."""
        self._stopping.set()
        self._arrived.put_nowait(None)

    @property
    def is_stopping(self) -> bool:
        """Whether waiting for better times is no longer wanted."""
        return self._stopping.is_set()

    async def _subscribe_once(self) -> None:
        """Returns when the subscription is gone, or is to go."""
        self._arrived = asyncio.Queue()
        channel = await self._link.channel()
        try:
            await self._consume(channel)
            self.trouble = None
            background.succeeded()
            while batch := await self._next_batch():
                began_at = clock.monotonic_seconds()
                await self._handle(batch)
                background.succeeded()
                if len(batch) < self._batch_max:
                    took_seconds = clock.monotonic_seconds() - began_at
                    await asyncio.sleep(min(took_seconds, REST_SECONDS_MAX))
            self.trouble = f"{self.name}: subscription lost"
        finally:
            await close_channel(channel)

    async def _consume(self, channel: AbstractChannel) -> None:
        arrived = self._arrived

        def lost(*_: object) -> None:
            arrived.put_nowait(None)

        channel.close_callbacks.add(lost)
        underlay = await channel.get_underlay_channel()
        # A broker that moves or deletes the queue cancels its consumers without closing anything.
        underlay.on_consumer_cancel_callbacks.add(lost)
        await channel.set_qos(prefetch_count=self._batch_max, timeout=RPC_SECONDS_MAX)
        queue = await self._declare(channel)
        await queue.consume(arrived.put, no_ack=self._no_ack, timeout=RPC_SECONDS_MAX)

    async def _next_batch(self) -> list[AbstractIncomingMessage]:
        """What has arrived, at least one; empty when the subscription is over."""
        batch: list[AbstractIncomingMessage] = []
        message = await self._first()
        while message is not None:
            batch.append(message)
            if self._arrived.empty() or len(batch) == self._batch_max:
                return batch
            message = self._arrived.get_nowait()
        # What the channel delivered before it closed is on its way to somebody else by now.
        return []

    async def _first(self) -> AbstractIncomingMessage | None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._watch_seconds):
                    return await self._arrived.get()
            except TimeoutError:
                if not await self._has_consumer():
                    return None
                background.succeeded()
        return None

    async def _has_consumer(self) -> bool:
        """The watchdog: consumers have vanished silently after a node's maintenance."""
        if self._no_ack:  # a queue of our own connection: it lives and dies with it
            return True
        return bool(await self._link.consumer_count(self.name))
