"""Names and arguments of exchanges and queues in RabbitMQ, and the messages in them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from aio_pika import DeliveryMode, ExchangeType
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractQueue

from cinesync.chassis.messaging.bus import DELIVERIES_MAX
from cinesync.chassis.messaging.rabbitmq.connection import RPC_SECONDS_MAX

EXCHANGE = "cinema.events"
# The broker's own limit catches what consumers cannot count: a message that kills its consumer. It
# counts every redelivery, after restarts too, so it stands well above DELIVERIES_MAX. The arguments
# of a queue cannot change: another value needs a new queue.
BROKER_DELIVERIES_MAX = 4 * DELIVERIES_MAX
# RabbitMQ 4 limits every quorum queue to 20 deliveries by default, and would drop a dead letter
# that was listed 20 times. RabbitMQ 3 refuses -1, which means no limit.
DEAD_DELIVERIES_MAX = 1_000_000_000
LISTENER_BACKLOG_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Topology:
    """The exchanges and queues of one shop."""

    exchange: str = EXCHANGE
    shop: str = ""

    @property
    def prefix(self) -> str:
        """The name of the exchange, `cinema.events.<shop>`; all other names begin with it."""
        return f"{self.exchange}.{self.shop}" if self.shop else self.exchange

    @property
    def dead_exchange(self) -> str:
        """The exchange for dead letters; the routing key is the consumer that failed."""
        return f"{self.prefix}.dead"

    def queue(self, consumer: str) -> str:
        """The queue of the consumer `booking.payment.success`.

        The name of the exchange is part of it: a queue has its dead-letter exchange as a fixed
        argument, so another exchange needs other queues.
        """
        return f"{self.prefix}.{consumer}" if self.shop else consumer

    def dead_queue(self, consumer: str) -> str:
        """The queue for the dead letters of `consumer`."""
        return self.dead_name(self.queue(consumer))

    def owner_queue(self, service: str) -> str:
        """The queue that holds the id of the owner's database (ownership.py)."""
        return f"{self.prefix}.{service}.owner"

    @property
    def lock_queue(self) -> str:
        """The queue that the process which declares the others holds (declaration.py)."""
        return f"{self.prefix}.declaring"

    @staticmethod
    def dead_name(queue: str) -> str:
        """`<queue>.dead`."""
        return f"{queue}.dead"

    async def declare_exchanges(self, channel: AbstractChannel) -> AbstractExchange:
        """Declare both exchanges; returns the one for events."""
        await channel.declare_exchange(
            self.dead_exchange, ExchangeType.DIRECT, durable=True, timeout=RPC_SECONDS_MAX
        )
        return await channel.declare_exchange(
            self.prefix, ExchangeType.TOPIC, durable=True, timeout=RPC_SECONDS_MAX
        )

    async def declare_queue(self, channel: AbstractChannel, consumer: str) -> AbstractQueue:
        """The queue of `consumer` and the one for its dead letters; binding is another step."""
        await self.declare_dead_queue(channel, consumer)
        return await channel.declare_queue(
            self.queue(consumer),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": BROKER_DELIVERIES_MAX,
                "x-dead-letter-exchange": self.dead_exchange,
                "x-dead-letter-routing-key": consumer,
                # Without these two a dead letter is moved at most once, and may be lost.
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
            timeout=RPC_SECONDS_MAX,
        )

    async def declare_dead_queue(self, channel: AbstractChannel, consumer: str) -> AbstractQueue:
        """The queue where the dead letters of `consumer` wait for a person."""
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
        """A queue for one connection, deleted with it; a slow listener loses the oldest events."""
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


def delivery_count(message: AbstractIncomingMessage) -> int:
    """How many times the queue had delivered this message before."""
    count = message.headers.get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0
