"""What lives in the broker: exchanges, quorum queues, dead letters, and the messages in them."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from aio_pika import DeliveryMode, ExchangeType
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractQueue

from cinesync.chassis.messaging.bus import DELIVERIES_MAX
from cinesync.chassis.messaging.rabbitmq.connection import RPC_SECONDS_MAX, Link, close_channel

EXCHANGE = "cinema.events"
# The broker's own limit catches what our count cannot: a message that kills its consumer. Every
# redelivery counts there, restarts too, so it stands well above DELIVERIES_MAX. A queue's
# arguments cannot change: a new value needs a new queue.
BROKER_DELIVERIES_MAX = 4 * DELIVERIES_MAX
# RabbitMQ 4 gives every quorum queue a limit of 20, and a dead letter that was looked at 20 times
# would be dropped; -1 (none) is refused by RabbitMQ 3.
DEAD_DELIVERIES_MAX = 1_000_000_000
LISTENER_BACKLOG_MAX = 10_000
# A node killed within half a second of a quorum queue's declaration comes back without what was
# confirmed into it (seen with 3.10: Ra writes its directory of queues to the disk that late). So a
# new queue gets no events in its first moments: they are unroutable, and wait in the outbox.
NEW_QUEUE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Topology:
    """The names and arguments of everything that lives in the broker."""

    exchange: str = EXCHANGE
    shop: str = ""

    @property
    def prefix(self) -> str:
        """What every name of this shop begins with: `cinema.events.<shop>`; the exchange itself."""
        return f"{self.exchange}.{self.shop}" if self.shop else self.exchange

    @property
    def dead_exchange(self) -> str:
        """Where dead letters go, by the name of the consumer they died at."""
        return f"{self.prefix}.dead"

    def queue(self, consumer: str) -> str:
        """The queue of `booking.payment.success`. The exchange is part of it: a queue remembers
        where its dead letters go, so that another exchange needs other queues.
        """
        return f"{self.prefix}.{consumer}" if self.shop else consumer

    def dead_queue(self, consumer: str) -> str:
        """Beside it."""
        return self.dead_name(self.queue(consumer))

    def owner_queue(self, service: str) -> str:
        """Whose they are (rabbitmq_ownership.py)."""
        return f"{self.prefix}.{service}.owner"

    @staticmethod
    def dead_name(queue: str) -> str:
        """`<queue>.dead`."""
        return f"{queue}.dead"

    async def declare_exchanges(self, channel: AbstractChannel) -> AbstractExchange:
        """Both exchanges; the one for events."""
        await channel.declare_exchange(
            self.dead_exchange, ExchangeType.DIRECT, durable=True, timeout=RPC_SECONDS_MAX
        )
        return await channel.declare_exchange(
            self.prefix, ExchangeType.TOPIC, durable=True, timeout=RPC_SECONDS_MAX
        )

    async def establish(self, link: Link, consumers: Mapping[str, str]) -> None:
        """From now on each of `consumers` gets every event of the name it is mapped to.

        What is there already stays as it is; other processes may do the same meanwhile.
        """
        names = {self.queue(consumer): name for consumer, name in consumers.items()}
        are_settled = [await self._is_settled(link, queue) for queue in names]
        channel = await link.channel()
        try:
            await self.declare_exchanges(channel)
            declared = [await self._declare_queue(channel, consumer) for consumer in consumers]
            if not all(are_settled):
                await self._let_settle()
            for queue in declared:
                await queue.bind(self.prefix, names[queue.name], timeout=RPC_SECONDS_MAX)
                await channel.declare_exchange(
                    _settled_mark(queue.name), durable=True, timeout=RPC_SECONDS_MAX
                )
        finally:
            await close_channel(channel)

    @staticmethod
    async def _is_settled(link: Link, queue: str) -> bool:
        """Whether some process has let it settle: it may still be asleep for that."""
        return await link.has_exchange(_settled_mark(queue)) and (
            await link.consumer_count(queue) is not None
        )

    @staticmethod
    async def _let_settle() -> None:
        await asyncio.sleep(NEW_QUEUE_SECONDS)

    async def _declare_queue(self, channel: AbstractChannel, consumer: str) -> AbstractQueue:
        await self.declare_dead_queue(channel, consumer)
        return await channel.declare_queue(
            self.queue(consumer),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": BROKER_DELIVERIES_MAX,
                "x-dead-letter-exchange": self.dead_exchange,
                "x-dead-letter-routing-key": consumer,
                # Without these two a dead letter is moved at most once: it may be lost.
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
            timeout=RPC_SECONDS_MAX,
        )

    async def declare_dead_queue(self, channel: AbstractChannel, consumer: str) -> AbstractQueue:
        """Where `consumer`'s dead letters wait for a person."""
        dead = await channel.declare_queue(
            self.dead_queue(consumer),
            durable=True,
            arguments={"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERIES_MAX},
            timeout=RPC_SECONDS_MAX,
        )
        await dead.bind(self.dead_exchange, consumer, timeout=RPC_SECONDS_MAX)
        return dead

    async def declare_listening_queue(
        self, channel: AbstractChannel, names: Collection[str]
    ) -> AbstractQueue:
        """A queue of this connection alone, gone with it; a slow listener loses the oldest."""
        exchange = await self.declare_exchanges(channel)
        declared = await channel.declare_queue(
            exclusive=True,
            auto_delete=True,
            arguments={"x-max-length": LISTENER_BACKLOG_MAX, "x-overflow": "drop-head"},
            timeout=RPC_SECONDS_MAX,
        )
        for name in sorted(names):
            await declared.bind(exchange, name, timeout=RPC_SECONDS_MAX)
        return declared


def _settled_mark(queue: str) -> str:
    """An exchange that carries nothing: a broker tells nobody what is bound, but what exists."""
    return f"{queue}.settled"


def persistent(
    body: bytes,
    message_id: str | None,
    name: str | None,
    *,
    headers: dict[str, str | int] | None = None,
    timestamp: datetime | None = None,
) -> AmqpMessage:
    """A message that survives the broker's restart."""
    return AmqpMessage(
        body,
        message_id=message_id,
        type=name,
        headers=dict(headers or {}),
        timestamp=timestamp,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def deliveries(message: AbstractIncomingMessage) -> int:
    """How often the queue had delivered this message before."""
    count = message.headers.get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0
