"""Empties the queues of versions whose queue names had no shop id.

Such a version left events in `booking.payment.success`, and dead letters beside it. While its
processes are replaced one by one, the older ones still publish there. So a consumer handles the
messages of its legacy queue as its own, as long as that queue exists.

An operator deletes the legacy queues when no older process runs any more, no sooner: an event of an
older process counts as routed when any one queue gets it.

Only a service whose database is older than shop ids does this: on a shared broker, another shop's
queues may have the same names.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractIncomingMessage

from cinesync.chassis import background, telemetry
from cinesync.chassis.messaging.rabbitmq.connection import (
    AmqpConnection,
    close_channel,
    get_messages,
)
from cinesync.chassis.messaging.rabbitmq.consumer import HandleBatch
from cinesync.chassis.messaging.rabbitmq.topology import Topology

log = telemetry.get_logger(__name__)

BATCH_MAX = 200
BUSY_SECONDS = 2.0
IDLE_SECONDS = 60.0

MoveToDeadLetters = Callable[[str, AbstractIncomingMessage, str], Awaitable[bool]]


class LegacyQueue:
    """The legacy queue of one consumer, and the one of its dead letters."""

    def __init__(
        self,
        connection: AmqpConnection,
        queue: str,
        handle: HandleBatch,
        dead_letter: MoveToDeadLetters,
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._dead_queue = Topology.dead_name(queue)
        self._handle = handle
        self._dead_letter = dead_letter

    @property
    def name(self) -> str:
        return f"legacy queue {self._queue}"

    async def run(self) -> None:
        """Empty it again and again, until cancelled."""
        while True:
            try:
                exists = await self.drain()
                background.succeeded()
            except Exception as error:  # noqa: BLE001 the next round tries again
                background.failed(error)
                exists = True
            await asyncio.sleep(BUSY_SECONDS if exists else IDLE_SECONDS)

    async def drain(self) -> bool:
        """Handle what is in it now. False: neither queue exists any more."""
        exists = False
        for queue, empty in (
            (self._queue, self._handle_batch),
            (self._dead_queue, self._move_batch),
        ):
            if await self._connection.consumer_count(queue) is None:
                continue
            exists = True
            while await empty(queue):
                pass
        return exists

    async def _handle_batch(self, queue: str) -> int:
        channel = await self._connection.channel()
        try:
            messages = await get_messages(channel, queue, BATCH_MAX)
            if messages:
                log.info("bus.taken_over", queue=queue, count=len(messages))
                await self._handle(messages)
            return len(messages)
        finally:
            await close_channel(channel)

    async def _move_batch(self, queue: str) -> int:
        """Move dead letters to the dead-letter queue of the new name."""
        channel = await self._connection.channel()
        moved = 0
        try:
            for message in await get_messages(channel, queue, BATCH_MAX):
                error = str(message.headers.get("x-error") or "failed in the legacy queue")
                if await self._dead_letter(self._queue, message, error):
                    await message.ack()
                    moved += 1
            return moved
        finally:
            await close_channel(channel)
