"""The dead letters of the RabbitMQ bus: a quorum queue of them beside each consumer's queue."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from cinesync.chassis.messaging.dead_letters import LETTERS_MAX, DeadLetter
from cinesync.chassis.messaging.rabbitmq.connection import (
    RPC_SECONDS_MAX,
    AmqpConnection,
    close_channel,
    get_messages,
)
from cinesync.chassis.messaging.rabbitmq.topology import EXCHANGE, Topology, persistent

NO_ID = UUID(int=0)


class BrokerDeadLetters:
    """Reads dead letters by consuming and returning them."""

    def __init__(self, url: str, *, exchange: str = EXCHANGE, shop: str = "") -> None:
        self._connection = AmqpConnection(url, "cinesync queues")
        self._topology = Topology(exchange, shop)

    async def waiting(self, queues: Sequence[str]) -> list[DeadLetter]:
        """The dead letters of `queues`, oldest first, at most LETTERS_MAX a queue."""
        found: list[DeadLetter] = []
        for queue in queues:
            channel = await self._connection.channel()
            try:
                found += [_letter(queue, m) for m in await self._take(channel, queue)]
            finally:  # returns them, in their order
                await close_channel(channel)
        return found

    async def undelivered(self, queues: Sequence[str]) -> int:
        """How many messages wait in `queues` for their consumers."""
        counts = [
            await self._connection.message_count(self._topology.queue(queue)) for queue in queues
        ]
        return sum(count or 0 for count in counts)

    async def replay(self, queue: str, event_ids: Collection[UUID] | None = None) -> int:
        """Publish them to `queue` itself, not to the exchange: other consumers have handled them.

        A letter leaves the dead-letter queue when the broker has confirmed the copy.
        """
        channel = await self._connection.channel(on_return_raises=True)
        count = 0
        try:
            for message in await self._take(channel, queue):
                if event_ids is None or _letter(queue, message).event_id in event_ids:
                    await self._republish(channel, queue, message)
                    await message.ack()
                    count += 1
        finally:
            await close_channel(channel)
        return count

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def _take(self, channel: AbstractChannel, queue: str) -> list[AbstractIncomingMessage]:
        dead_queue = self._topology.dead_queue(queue)
        if await self._connection.consumer_count(dead_queue) is None:
            return []  # not declared yet; reading declares nothing
        return await get_messages(channel, dead_queue, LETTERS_MAX)

    async def _republish(
        self, channel: AbstractChannel, queue: str, message: AbstractIncomingMessage
    ) -> None:
        exchange = channel.default_exchange
        letter = persistent(message.body, message.message_id, message.type)
        await exchange.publish(
            letter, self._topology.queue(queue), mandatory=True, timeout=RPC_SECONDS_MAX
        )


def _letter(queue: str, message: AbstractIncomingMessage) -> DeadLetter:
    try:
        event_id = UUID(message.message_id)
    except (TypeError, ValueError, AttributeError):
        event_id = NO_ID
    error = message.headers.get("x-error")
    return DeadLetter(
        queue=queue,
        event_id=event_id,
        name=message.type or "",
        body=message.body,
        error=str(error) if error else "failed too often, or killed its consumer each time",
        died_at=_died_at(message),
    )


def _died_at(message: AbstractIncomingMessage) -> datetime | None:
    if message.timestamp is not None:
        return message.timestamp
    deaths = message.headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        time = deaths[0].get("time")
        return time if isinstance(time, datetime) else None
    return None
