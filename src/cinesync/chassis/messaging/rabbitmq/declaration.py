"""The step that declares exchanges, queues and bindings, before anything is published or consumed.

Theory of operation
-------------------
The step runs in `cinesync migrate`, at the start of each process, and again when a connection was
opened anew or a consumer found its queue missing. It declares what is missing and leaves the rest,
so that it may run at any time. One process runs it at a time: an exclusive queue is the lock, which
the broker gives to one connection and takes back when that ends. The others wait, and then find
everything there.

Every process declares the queues of all services. `mandatory` asks only whether an event reached
*some* queue; on a broker where the ledger's queue is not bound yet, a purchase would reach
booking's, be confirmed, and never come to the ledger.

A queue is declared, and bound 1.5 s later. RabbitMQ 3.10 writes its directory of quorum queues to
the disk with a delay; a node that is killed within half a second of a declaration comes back
without what it had confirmed into that queue (measured, ADR 7). Events for a queue that is not
bound are unroutable, and wait in the outbox. AMQP offers nothing to wait for but the clock. The
wait is there once in the life of a queue, in this step and nowhere else.

AMQP cannot list bindings either. An exchange `<queue>.settled`, which carries nothing, marks a
queue that is bound; it is deleted before a lost queue is declared anew.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelLockedResource

from cinesync.chassis import telemetry
from cinesync.chassis.messaging.rabbitmq.connection import (
    RPC_SECONDS_MAX,
    AmqpConnection,
    close_channel,
)
from cinesync.chassis.messaging.rabbitmq.ownership import Ownership
from cinesync.chassis.messaging.rabbitmq.topology import Topology

log = telemetry.get_logger(__name__)

# See above: three times what was measured.
NEW_QUEUE_SECONDS = 1.5
LOCK_POLL_SECONDS = 0.1


class Declaration:
    """Makes sure that the topology is in the broker; `bindings` maps each consumer to its event."""

    def __init__(
        self, topology: Topology, ownership: Ownership, bindings: Mapping[str, str]
    ) -> None:
        self._topology = topology
        self._ownership = ownership
        self.bindings = dict(bindings)
        self._lock = asyncio.Lock()
        # How often each connection had been opened when the topology was last seen there.
        self._seen: dict[AmqpConnection, int] = {}

    async def ensure(self, connection: AmqpConnection) -> None:
        """Run the step, unless it has run since `connection` was opened.

        Raises ForeignQueues, and what the network raises.
        """
        async with self._lock:
            if connection.is_open and self._seen.get(connection) == connection.open_count:
                return
            await connection.open()
            open_count = connection.open_count
            await self._ownership.check(connection)
            if await self._missing(connection):
                async with self._alone(connection):
                    if missing := await self._missing(connection):
                        await self._declare(connection, missing)
            self._seen[connection] = open_count

    def forget(self) -> None:
        """Run the step again: something of it is gone."""
        self._seen.clear()

    async def _missing(self, connection: AmqpConnection) -> list[str]:
        """The consumers whose queue, dead-letter queue or mark is not there."""
        missing = []
        channel = await connection.channel()
        try:
            await self._topology.declare_exchanges(channel)
            for consumer in self.bindings:
                try:
                    await self._look_up(channel, consumer)
                except ChannelNotFoundEntity:  # for which the broker closed the channel
                    missing.append(consumer)
                    channel = await connection.channel()
        finally:
            await close_channel(channel)
        return missing

    async def _look_up(self, channel: AbstractChannel, consumer: str) -> None:
        """Raises ChannelNotFoundEntity."""
        queue, dead_queue = self._topology.queue(consumer), self._topology.dead_queue(consumer)
        for name in (queue, dead_queue):
            await channel.declare_queue(name, passive=True, timeout=RPC_SECONDS_MAX)
        await channel.declare_exchange(_mark(queue), passive=True, timeout=RPC_SECONDS_MAX)

    async def _declare(self, connection: AmqpConnection, consumers: Sequence[str]) -> None:
        queues = [self._topology.queue(consumer) for consumer in consumers]
        log.info("topology.declaring", queues=queues)
        channel = await connection.channel()
        try:
            for consumer, queue in zip(consumers, queues, strict=True):
                await channel.exchange_delete(_mark(queue), timeout=RPC_SECONDS_MAX)
                await self._topology.declare_queue(channel, consumer)
            await self._wait_until_written()
            for consumer, queue in zip(consumers, queues, strict=True):
                declared = await channel.get_queue(queue, ensure=False)
                event_name = self.bindings[consumer]
                await declared.bind(self._topology.prefix, event_name, timeout=RPC_SECONDS_MAX)
                await channel.declare_exchange(_mark(queue), durable=True, timeout=RPC_SECONDS_MAX)
        finally:
            await close_channel(channel)

    @staticmethod
    async def _wait_until_written() -> None:
        await asyncio.sleep(NEW_QUEUE_SECONDS)

    @asynccontextmanager
    async def _alone(self, connection: AmqpConnection) -> AsyncIterator[None]:
        """Hold the lock: while it is held, no other process declares."""
        channel = await self._locked(connection)
        try:
            yield
        finally:
            with suppress(Exception):  # with a lost connection the lock is gone, too
                await channel.queue_delete(self._topology.lock_queue, timeout=RPC_SECONDS_MAX)
            await close_channel(channel)

    async def _locked(self, connection: AmqpConnection) -> AbstractChannel:
        is_waiting = False
        while True:
            channel = await connection.channel()
            try:
                await channel.declare_queue(
                    self._topology.lock_queue, exclusive=True, timeout=RPC_SECONDS_MAX
                )
            except ChannelLockedResource:
                if not is_waiting:
                    log.info("topology.waiting", reason="another process declares the queues")
                is_waiting = True
                await asyncio.sleep(LOCK_POLL_SECONDS)
            else:
                return channel


def _mark(queue: str) -> str:
    return f"{queue}.settled"
