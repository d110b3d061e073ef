"""Publishing to RabbitMQ: an event counts as sent when it is confirmed and routed."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto
from typing import cast
from uuid import UUID

import aiormq
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError

from cinesync.chassis import clock, telemetry
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.rabbitmq.connection import AmqpConnection, close_channel
from cinesync.chassis.messaging.rabbitmq.declaration import Declaration
from cinesync.chassis.messaging.rabbitmq.ownership import ForeignQueues
from cinesync.chassis.messaging.rabbitmq.topology import Topology, delivery_count, persistent
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

PUBLISH_SECONDS_MAX = 10.0
ERROR_CHARACTERS_MAX = 1000


class BrokerUnavailable(Unavailable):
    """Our message broker does not answer right now; please try again in a moment."""

    @classmethod
    def type_uri(cls) -> str:
        """The name in the HTTP contract, which is older than the class's."""
        return "/problems/broker-away"


class Outcome(Enum):
    """The outcome of a publish. UNCONFIRMED: the broker may have the message or not."""

    CONFIRMED = auto()
    UNROUTABLE = auto()
    REJECTED = auto()
    UNCONFIRMED = auto()


class Publisher:
    """Publishes with confirms: a confirmed message is on the disks of a majority of the nodes."""

    def __init__(
        self,
        connection: AmqpConnection,
        topology: Topology,
        declaration: Declaration,
        *,
        without_consumers: Collection[str] = (),
        publish_seconds_max: float = PUBLISH_SECONDS_MAX,
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._declaration = declaration
        self._without_consumers = frozenset(without_consumers)
        self._publish_seconds_max = publish_seconds_max
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        # A return is matched to its publish by message id, so an id is in flight only once.
        self._in_flight: set[UUID] = set()

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        """The ids that the broker confirmed and routed. Raises BrokerUnavailable."""
        channel = await self.open()
        fresh = {m.event_id: m for m in messages if m.event_id not in self._in_flight}
        self._in_flight |= fresh.keys()
        try:
            outcomes = await asyncio.gather(*(self._send(channel, m) for m in fresh.values()))
        except BaseException:  # cancelled: confirms may still arrive, so the channel is spent
            await self._drop(channel)
            raise
        finally:
            self._in_flight -= fresh.keys()
        self._report_unroutable(
            Counter(
                m.name
                for m, outcome in zip(fresh.values(), outcomes, strict=True)
                if outcome is Outcome.UNROUTABLE
            )
        )
        return {
            m.event_id
            for m, outcome in zip(fresh.values(), outcomes, strict=True)
            if outcome is Outcome.CONFIRMED
            or (outcome is Outcome.UNROUTABLE and m.name in self._without_consumers)
        }

    async def dead_letter(self, queue: str, message: AbstractIncomingMessage, error: str) -> bool:
        """Publish a copy with its `error` to the dead letters; whether it is confirmed there."""
        letter = persistent(
            message.body,
            message.message_id,
            message.type or message.routing_key,
            headers={
                "x-error": error[:ERROR_CHARACTERS_MAX],
                "x-deliveries": delivery_count(message),
            },
            timestamp=clock.now(),
        )
        channel = await self.open()
        outcome = await self._confirmed(channel, self._topology.dead_exchange, queue, letter)
        return outcome is Outcome.CONFIRMED

    async def open(self) -> AbstractChannel:
        """The channel, opened if it is closed. Raises BrokerUnavailable, ForeignQueues."""
        async with self._opening:
            channel = self._channel
            if channel is not None and not channel.is_closed and self._connection.is_open:
                return channel
            try:
                await self._declaration.ensure(self._connection)
                channel = await self._connection.channel(on_return_raises=True)
            except ForeignQueues:
                raise
            except Exception as error:
                raise BrokerUnavailable(retry_after_seconds=2) from error
            self._channel = channel
            return channel

    async def close(self) -> None:
        """Drop what is unconfirmed: it is published again later."""
        if self._channel is not None:
            await self._drop(self._channel)

    async def _drop(self, channel: AbstractChannel) -> None:
        if channel is self._channel:
            self._channel = None
            await close_channel(channel)

    async def _send(self, channel: AbstractChannel, message: Message) -> Outcome:
        amqp_message = persistent(message.body, str(message.event_id), message.name)
        return await self._confirmed(channel, self._topology.prefix, message.name, amqp_message)

    async def _confirmed(
        self, channel: AbstractChannel, exchange: str, routing_key: str, message: AmqpMessage
    ) -> Outcome:
        try:
            underlay = cast("aiormq.Channel", await channel.get_underlay_channel())
            # aio-pika's own publish writes one message after the other to the socket: 4 ms for each
            # of a batch, under load. Here the whole batch is written before its confirms arrive.
            await underlay.basic_publish(
                message.body,
                exchange=exchange,
                routing_key=routing_key,
                properties=message.properties,
                mandatory=True,
                timeout=self._publish_seconds_max,
                wait=False,
            )
        except PublishError:
            # The broker confirms a message that it could not route; only the return shows it.
            return Outcome.UNROUTABLE
        except DeliveryError:
            return Outcome.REJECTED
        except Exception as error:  # noqa: BLE001 lost connections come in many classes
            log.warning("bus.unconfirmed", name=routing_key, reason=repr(error))
            # Its confirm may still arrive: never the same id on this channel again.
            await self._drop(channel)
            return Outcome.UNCONFIRMED
        return Outcome.CONFIRMED

    def _report_unroutable(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            if name not in self._without_consumers:
                log.warning("bus.no_queue", name=name, count=count)
