"""The consumers of the embedded bus run concurrently, and each to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import pytest

from cinesync.chassis.database import Database, DatabaseAway
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.two_services import (
    Paid,
    TwoServices,
    message,
    open_two_services,
    paid,
    record,
)
from tests.support.eventually import SECONDS_MAX


def consumer(db: Database, service: str, wait: Callable[[], Awaitable[object]]) -> Inbox:
    """Of a service of that name, that waits before it consumes."""

    class Waiting(Inbox):
        async def handle(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
            await wait()
            return await super().handle(messages)

    return Waiting(service, Paid, record, db)


@pytest.fixture
async def services(postgres: Postgres) -> AsyncIterator[TwoServices]:
    services = await open_two_services(postgres, None)
    yield services
    await services.close()


async def test_consumers_do_not_wait_for_each_other(services: TwoServices) -> None:
    bus, all_here = services.make_bus(), asyncio.Barrier(2)
    for service in ("one", "two"):
        bus.subscribe(consumer(services.consumer_db, service, all_here.wait))
    event = paid(1)
    async with asyncio.timeout(SECONDS_MAX):
        assert await bus.publish([message(event)]) == {event.event_id}
    assert await services.effects() == [event.event_id] * 2


async def test_an_unavailable_database_of_one_consumer_does_not_stop_the_other(
    services: TwoServices,
) -> None:
    bus, failed = services.make_bus(), asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise DatabaseAway

    bus.subscribe(consumer(services.consumer_db, "away", fail))
    bus.subscribe(consumer(services.consumer_db, "well", failed.wait))
    event = paid(1)
    with pytest.raises(DatabaseAway):
        await bus.publish([message(event)])
    assert await services.effects() == [event.event_id], "it ended before the bus raised"
