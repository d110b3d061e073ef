"""Whose queues these are: a shop that calls itself like another one on the same broker is refused.

Each service's database has an id of its own. Every process leaves its database's id in a queue
`<exchange>.<shop>.<service>.owner`, reads the oldest one there, and takes the later ones away: the
first process of all says whose queues they are. An exclusive consumer lets one at a time do this.

The queue is on one node of the broker. While that node is away nobody can be refused, and a shop
goes on: what was looked at once in a process is not looked at again.
"""

import asyncio
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from cinesync.chassis import clock, telemetry
from cinesync.chassis.messaging.rabbitmq.connection import RPC_SECONDS_MAX, Link, close_channel
from cinesync.chassis.messaging.rabbitmq.topology import Topology, persistent
from cinesync.chassis.settings import SettingsError

log = telemetry.get_logger(__name__)

TURN_SECONDS = 0.05


class ForeignQueues(SettingsError):
    """These queues belong to another shop."""

    def __init__(self, topology: Topology, service: str) -> None:
        super().__init__(
            f"On this broker, {topology.prefix} is another shop, whose {service} has another"
            " database: give this one a SHOP_ID or a RABBITMQ_EXCHANGE of its own; or, if it is the"
            f" same shop on a new database, delete the queue {topology.owner_queue(service)}"
        )


@dataclass
class Ownership:
    """`owners` has the id of each service's database that runs in this process."""

    topology: Topology
    owners: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    async def check(self, link: Link) -> None:
        """See that the queues of our services are ours. Raises ForeignQueues, and what the
        network raises."""
        for service, database_id in self.owners.items():
            if service in self._seen:
                continue
            try:
                owner = await _first_of(link, self.topology.owner_queue(service), database_id)
            except (ChannelNotFoundEntity, TimeoutError) as error:
                log.warning("bus.owner_unknown", service=service, reason=repr(error))
                continue
            if owner != database_id:
                raise ForeignQueues(self.topology, service)
            self._seen.add(service)


async def _first_of(link: Link, name: str, database_id: str) -> str:
    """The oldest id in the queue, ours if there was none."""
    async with asyncio.timeout(RPC_SECONDS_MAX):
        while True:
            channel = await link.channel(on_return_raises=True)
            try:
                return await _read(channel, name, database_id)
            except (ChannelAccessRefused, ChannelInvalidStateError):
                await asyncio.sleep(TURN_SECONDS)  # another process has its turn
            finally:  # gives the oldest back
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
