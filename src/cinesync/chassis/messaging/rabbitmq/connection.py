"""A connection to RabbitMQ that is opened on demand, and opened again after it broke.

Theory of operation
-------------------
aio-pika's robust connection restores channels and consumers in the background. While it does, a
publish may hang and a consumer may be forgotten. Here nothing is restored (ADR 7):

- Code that needs a channel calls `AmqpConnection.channel()`. It opens the connection if it is
  closed, and raises what the network raises. The caller sees the failure and tries again itself.
- A process has two connections: a broker short of memory or disk stops reading from connections
  that publish, and must not stop the consumers' acknowledgements with them.
- The publisher (publisher.py) holds one channel with confirms. A publish without a confirm in time
  spends the channel: its confirm may still arrive, and must not be taken for that of a later
  publish with the same message id.
- A subscription (consumer.py) holds one channel for its queue. It ends when the broker cancels the
  consumer, when the channel closes, and when a watchdog finds the queue without a consumer; then it
  opens a new channel and subscribes anew. Unacknowledged messages go back to the queue with the
  old channel, and the inbox drops those that were committed.
- Exchanges, queues and bindings are declared in one step of their own (declaration.py), anew after
  each loss of a connection: the broker that comes back may be an empty one.

Every wait for the broker has a limit.
"""

import asyncio
import contextlib

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from pamqp.commands import Queue

CONNECT_SECONDS_MAX = 10.0
RPC_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 5.0


class AmqpConnection:
    """One AMQP connection, opened when it is needed and anew after it broke."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()
        self.open_count = 0

    @property
    def is_open(self) -> bool:
        """Whether the connection was open when it was last used."""
        return self._connection is not None and self._connection.connected.is_set()

    async def open(self) -> AbstractConnection:
        """Open it if it is closed, and count that. Raises what the network raises."""
        async with self._opening:
            if self._connection is None or not self.is_open:
                await self.close()
                self._connection = await aio_pika.connect(
                    self._url,
                    timeout=CONNECT_SECONDS_MAX,
                    client_properties={"connection_name": self._name},
                )
                self.open_count += 1
            return self._connection

    async def channel(self, *, on_return_raises: bool = False) -> AbstractChannel:
        """A new channel with publisher confirms. Raises what the network raises."""
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            connection = await self.open()
            channel = connection.channel(on_return_raises=on_return_raises)
            await channel.initialize()
            return channel

    async def consumer_count(self, queue: str) -> int | None:
        """How many consumers `queue` has; None when there is no such queue."""
        found = await self._inspect(queue)
        return None if found is None else found.consumer_count or 0

    async def message_count(self, queue: str) -> int | None:
        """How many messages in `queue` wait for a consumer; None when there is no such queue."""
        found = await self._inspect(queue)
        return None if found is None else found.message_count or 0

    async def close(self) -> None:
        """Close in good order, or drop the connection when the broker does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await connection.close()

    async def _inspect(self, queue: str) -> Queue.DeclareOk | None:
        """On a channel of its own: the broker closes it when there is no such queue."""
        channel = await self.channel()
        try:
            found = await channel.declare_queue(queue, passive=True, timeout=RPC_SECONDS_MAX)
        except ChannelNotFoundEntity:
            return None
        finally:
            await close_channel(channel)
        return found.declaration_result


async def close_channel(channel: AbstractChannel) -> None:
    """Close it; messages that were not acknowledged on it go back to their queues."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await channel.close()


async def get_messages(
    channel: AbstractChannel, queue: str, limit: int
) -> list[AbstractIncomingMessage]:
    """Up to `limit` messages of a queue that exists, unacknowledged, in their order."""
    found = await channel.get_queue(queue, ensure=False)
    messages: list[AbstractIncomingMessage] = []
    while len(messages) < limit:
        message = await found.get(fail=False, timeout=RPC_SECONDS_MAX)
        if message is None:
            break
        messages.append(message)
    return messages
