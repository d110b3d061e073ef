"""Consumers of the embedded bus stand side by side, and none is left behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import pytest

from cinesync.chassis.database import Database, DatabaseAway
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.bus_house import (
    House,
    Paid,
    message,
    open_house,
    paid,
    record,
)

PATIENCE_SECONDS = 30.0


def consumer(db: Database, service: str, wait: Callable[[], Awaitable[object]]) -> Inbox:
    """Of a service of that name, that waits before it consumes."""

    class Waiting(Inbox):
        async def receive(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
            await wait()
            return await super().receive(messages)

    return Waiting(service, Paid, record, db)


@pytest.fixture
async def shop(postgres: Postgres) -> AsyncIterator[House]:
    shop = await open_house(postgres, None)
    yield shop
    await shop.close()


async def test_consumers_do_not_wait_for_each_other(shop: House) -> None:
    bus, all_here = shop.make_bus(), asyncio.Barrier(2)
    for service in ("one", "two"):
        bus.subscribe(consumer(shop.till, service, all_here.wait))
    event = paid(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await bus.publish([message(event)]) == {event.event_id}
    assert await shop.effects() == [event.event_id] * 2


async def test_one_whose_database_is_away_does_not_break_off_the_other(
    shop: House,
) -> None:
    bus, failed = shop.make_bus(), asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise DatabaseAway

    bus.subscribe(consumer(shop.till, "away", fail))
    bus.subscribe(consumer(shop.till, "well", failed.wait))
    event = paid(1)
    with pytest.raises(DatabaseAway):
        await bus.publish([message(event)])
    assert await shop.effects() == [event.event_id], "it was over before the bus told"
