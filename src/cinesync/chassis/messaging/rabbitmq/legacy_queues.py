"""Queues from before their names bore the shop's id: what is in them is handled too.

A shop of an older version left events in `booking.payment.success` and dead letters beside them,
and while it is replaced process by process, older ones go on publishing there. So a consumer takes
its older queue's messages as its own, for as long as the queue is there.

A person deletes the older queues when no older process runs any more. Before that a deleted queue
would miss what one of them publishes: to such an event any other queue is enough to be routed.

Only a database that is older than shop ids does this: in a broker that was shared, another shop's
queues have the same names.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from cinesync.chassis import background, telemetry
from cinesync.chassis.messaging.rabbitmq.connection import RPC_SECONDS_MAX, Link, close_channel
from cinesync.chassis.messaging.rabbitmq.topology import Topology

log = telemetry.get_logger(__name__)

BATCH_MAX = 200
BUSY_SECONDS = 2.0
IDLE_SECONDS = 60.0

Handle = Callable[[Sequence[AbstractIncomingMessage]], Awaitable[None]]
Bury = Callable[[str, AbstractIncomingMessage, str], Awaitable[bool]]


class Takeover:
    """Empties the older queue of one consumer."""

    def __init__(self, link: Link, queue: str, handle: Handle, bury: Bury) -> None:
        self._link = link
        self._queue = queue
        self._dead_queue = Topology.dead_name(queue)
        self._handle = handle
        self._bury = bury

    @property
    def name(self) -> str:
        return f"takeover of {self._queue}"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                is_there = await self.drain()
                background.succeeded()
            except Exception as error:  # noqa: BLE001 the broker may be away; the next round tries
                background.failed(error)
                is_there = True
            await asyncio.sleep(BUSY_SECONDS if is_there else IDLE_SECONDS)

    async def drain(self) -> bool:
        """Handle what is there now. False: neither queue is there any more."""
        is_there = False
        for queue, take in ((self._queue, self._take), (self._dead_queue, self._move)):
            if await self._link.consumer_count(queue) is None:
                continue
            is_there = True
            while await take(queue):
                pass
        return is_there

    async def _take(self, queue: str) -> int:
        channel = await self._link.channel()
        try:
            messages = await _get(channel, queue)
            if messages:
                log.info("bus.taken_over", queue=queue, count=len(messages))
                await self._handle(messages)
            return len(messages)
        finally:
            await close_channel(channel)

    async def _move(self, queue: str) -> int:
        """Dead letters, to where the others wait for a person."""
        channel = await self._link.channel()
        moved = 0
        try:
            for message in await _get(channel, queue):
                error = str(message.headers.get("x-error") or "died in the older queue")
                if await self._bury(self._queue, message, error):
                    await message.ack()
                    moved += 1
            return moved
        finally:
            await close_channel(channel)


async def _get(channel: AbstractChannel, queue: str) -> list[AbstractIncomingMessage]:
    found = await channel.get_queue(queue, ensure=False)
    messages: list[AbstractIncomingMessage] = []
    while len(messages) < BATCH_MAX:
        message = await found.get(fail=False, timeout=RPC_SECONDS_MAX)
        if message is None:
            break
        messages.append(message)
    return messages
