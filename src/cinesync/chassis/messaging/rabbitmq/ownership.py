"""Refuses a shop that uses the name of another shop on the same broker.

Each service's database has an id. The queue `<exchange>.<shop>.<service>.owner` holds the id of the
database that the service's queues belong to. A process publishes its own id there, reads the
oldest id and removes the later ones, so that the first process of all decides. It reads as an
exclusive consumer: one process at a time.

The queue is on one node of the broker. While that node is down the owner is unknown, and a shop
continues. A process checks each service once.
"""

import asyncio
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from cinesync.chassis import clock, telemetry
from cinesync.chassis.messaging.rabbitmq.connection import (
    RPC_SECONDS_MAX,
    AmqpConnection,
    close_channel,
)
from cinesync.chassis.messaging.rabbitmq.topology import Topology, persistent
from cinesync.chassis.settings import SettingsError

log = telemetry.get_logger(__name__)

POLL_SECONDS = 0.05


class ForeignQueues(SettingsError):
    """These queues belong to another shop."""

    def __init__(self, topology: Topology, service: str) -> None:
        super().__init__(
            f"On this broker, {topology.prefix} belongs to a shop with another database of"
            f" {service}: give this one a SHOP_ID or a RABBITMQ_EXCHANGE of its own; or, if it is"
            f" the same shop on a new database, delete the queue {topology.owner_queue(service)}"
        )


@dataclass
class Ownership:
    """`owners` maps each service of this process to the id of its database."""

    topology: Topology
    owners: dict[str, str] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)

    async def check(self, connection: AmqpConnection) -> None:
        """Raises ForeignQueues, and what the network raises."""
        for service, database_id in self.owners.items():
            if service in self._checked:
                continue
            try:
                owner = await _oldest_id(
                    connection, self.topology.owner_queue(service), database_id
                )
            except (ChannelNotFoundEntity, TimeoutError) as error:
                log.warning("bus.owner_unknown", service=service, reason=repr(error))
                continue
            if owner != database_id:
                raise ForeignQueues(self.topology, service)
            self._checked.add(service)


async def _oldest_id(connection: AmqpConnection, name: str, database_id: str) -> str:
    """The oldest id in the queue; ours if there was none."""
    async with asyncio.timeout(RPC_SECONDS_MAX):
        while True:
            channel = await connection.channel(on_return_raises=True)
            try:
                return await _read(channel, name, database_id)
            except (ChannelAccessRefused, ChannelInvalidStateError):
                await asyncio.sleep(POLL_SECONDS)  # another process reads
            finally:  # returns the oldest id to the queue
                await close_channel(channel)


async def _read(channel: AbstractChannel, name: str, database_id: str) -> str:
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.declare_queue(name, durable=True, timeout=RPC_SECONDS_MAX)
    await queue.consume(arrived.put, exclusive=True, timeout=RPC_SECONDS_MAX)
    ours = persistent(database_id.encode(), str(clock.new_id()), "owner")
    exchange = channel.default_exchange
    await exchange.publish(ours, name, mandatory=True, timeout=RPC_SECONDS_MAX)
    oldest = message = await arrived.get()
    while message.message_id != ours.message_id:
        message = await arrived.get()
        await message.ack()
    return oldest.body.decode(errors="replace")
