"""Publishing to RabbitMQ with confirms, where only what came back confirmed and routed counts."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import cast
from uuid import UUID

import aiormq
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError

from cinesync.chassis import clock, telemetry
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.rabbitmq.connection import Link, close_channel
from cinesync.chassis.messaging.rabbitmq.ownership import ForeignQueues, Ownership
from cinesync.chassis.messaging.rabbitmq.topology import Topology, deliveries, persistent
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

PUBLISH_SECONDS_MAX = 10.0
ERROR_CHARACTERS_MAX = 1000


class BrokerAway(Unavailable):
    """Our message broker does not answer right now; please try again in a moment."""


class Fate(Enum):
    """What became of a publish."""

    TAKEN = auto()
    UNROUTABLE = auto()
    REFUSED = auto()
    UNKNOWN = auto()


class Publisher:
    """Publishes with confirms: what it returns is on the disks of a majority of the brokers."""

    def __init__(
        self,
        link: Link,
        topology: Topology,
        consumers: Mapping[str, Sequence[str]],
        ownership: Ownership,
        *,
        publish_seconds_max: float = PUBLISH_SECONDS_MAX,
    ) -> None:
        self._link = link
        self._topology = topology
        self._ownership = ownership
        self._queues = {queue: name for name, queues in consumers.items() for queue in queues}
        self._unheard = frozenset(name for name, queues in consumers.items() if not queues)
        self._publish_seconds_max = publish_seconds_max
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        # A return is matched to its publish by message id, so an id may be under way only once.
        self._in_flight: set[UUID] = set()

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        """The ids the broker confirmed and routed. Raises BrokerAway when it cannot be reached."""
        channel = await self.open()
        fresh = {m.event_id: m for m in messages if m.event_id not in self._in_flight}
        self._in_flight |= fresh.keys()
        try:
            fates = await asyncio.gather(*(self._send(channel, m) for m in fresh.values()))
        except BaseException:  # cancelled: confirms may still come, so the channel is spent
            await self._drop(channel)
            raise
        finally:
            self._in_flight -= fresh.keys()
        self._report_unroutable(
            Counter(
                m.name
                for m, fate in zip(fresh.values(), fates, strict=True)
                if fate is Fate.UNROUTABLE
            )
        )
        return {
            m.event_id
            for m, fate in zip(fresh.values(), fates, strict=True)
            if fate is Fate.TAKEN or (fate is Fate.UNROUTABLE and m.name in self._unheard)
        }

    async def bury(self, queue: str, message: AbstractIncomingMessage, error: str) -> bool:
        """Put a copy with its `error` among the dead letters; whether it is safe there."""
        letter = persistent(
            message.body,
            message.message_id,
            message.type or message.routing_key,
            headers={"x-error": error[:ERROR_CHARACTERS_MAX], "x-deliveries": deliveries(message)},
            timestamp=clock.now(),
        )
        channel = await self.open()
        fate = await self._confirmed(channel, self._topology.dead_exchange, queue, letter)
        return fate is Fate.TAKEN

    async def open(self) -> AbstractChannel:
        """Connect if need be. Raises BrokerAway, ForeignQueues."""
        async with self._opening:
            if self._channel is not None and not self._channel.is_closed and self._link.is_open:
                return self._channel
            try:
                await self._ownership.check(self._link)
                # An event counts as routed when one of its queues got it: all must be there.
                await self._topology.establish(self._link, self._queues)
                channel = await self._link.channel(on_return_raises=True)
            except ForeignQueues:
                raise
            except Exception as error:
                raise BrokerAway(retry_after_seconds=2) from error
            self._channel = channel
            return channel

    async def close(self) -> None:
        """Break off what is still unconfirmed: it will be published again."""
        if self._channel is not None:
            await self._drop(self._channel)

    async def _drop(self, channel: AbstractChannel) -> None:
        if channel is self._channel:
            self._channel = None
            await close_channel(channel)

    async def _send(self, channel: AbstractChannel, message: Message) -> Fate:
        amqp_message = persistent(message.body, str(message.event_id), message.name)
        return await self._confirmed(channel, self._topology.prefix, message.name, amqp_message)

    async def _confirmed(
        self, channel: AbstractChannel, exchange: str, routing_key: str, message: AmqpMessage
    ) -> Fate:
        try:
            underlay = cast("aiormq.Channel", await channel.get_underlay_channel())
            # aio-pika's own publish waits, one message after the other, until each is written out:
            # 4 ms for each of a batch, under load. The confirms come together.
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
            # The broker acknowledges what it could route nowhere; only the return tells.
            return Fate.UNROUTABLE
        except DeliveryError:
            return Fate.REFUSED
        except Exception as error:  # noqa: BLE001 lost connections come in many classes
            log.warning("bus.unconfirmed", name=routing_key, reason=repr(error))
            # Its confirm may still come: never the same id on this channel again.
            await self._drop(channel)
            return Fate.UNKNOWN
        return Fate.TAKEN

    def _report_unroutable(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            if name not in self._unheard:
                log.warning("bus.no_queue", name=name, count=count)
