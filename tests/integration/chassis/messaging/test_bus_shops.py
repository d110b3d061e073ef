"""Two shops on one broker: each gets its own events, and none uses another's queues."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from cinesync.chassis import clock
from cinesync.chassis.database.identity import DatabaseId, identify
from cinesync.chassis.messaging.bus import Bus
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.messaging.rabbitmq.dead_letters import BrokerDeadLetters
from cinesync.chassis.messaging.rabbitmq.ownership import ForeignQueues
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.two_services import (
    Paid,
    TwoServices,
    message,
    open_two_services,
    paid,
    record,
)
from tests.support.eventually import eventually
from tests.support.rabbitmq_server import RabbitMqServer

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def shops(
    postgres: Postgres, rabbitmq: RabbitMqServer
) -> AsyncIterator[tuple[TwoServices, TwoServices]]:
    """Two shops whose services, events and exchange have the same names."""
    one, two = (
        await open_two_services(postgres, rabbitmq),
        await open_two_services(postgres, rabbitmq),
    )
    two.consumer_name, two.exchange = one.consumer_name, one.exchange
    one.shop_id, two.shop_id = "one", "two"
    yield one, two
    await one.close()
    await two.close()


async def running(services: TwoServices) -> Bus:
    bus = services.make_bus(consumers={Paid.name: [services.queue]})
    bus.subscribe(services.inbox())
    await services.start(bus)
    services.relay(bus)
    return bus


async def test_two_shops_on_one_broker_do_not_take_each_others_events(
    shops: tuple[TwoServices, TwoServices],
) -> None:
    sales = [[paid(n) for n in range(20)] for _ in shops]
    for services in shops:
        await running(services)
    for services, events in zip(shops, sales, strict=True):
        await services.emit(events)
    for services, events in zip(shops, sales, strict=True):
        await services.wait_until_handled(events)


async def test_without_shop_ids_they_do(shops: tuple[TwoServices, TwoServices]) -> None:
    for services in shops:
        services.shop_id = ""
        await running(services)
    sold = [paid(n) for n in range(40)]
    await shops[0].emit(sold)

    async def all_handled() -> bool:
        heard = [await services.effects() for services in shops]
        return sum(map(len, heard)) >= len(sold)

    await eventually(all_handled)
    assert await shops[1].effects(), "the other shop took some"


async def test_another_exchange_is_another_set_of_queues_and_dead_letters(
    shops: tuple[TwoServices, TwoServices],
) -> None:
    """A queue remembers its dead letters' exchange, and cannot be declared with another."""
    services = shops[0]
    await (await running(services)).close()
    before = services.exchange
    services.exchange = f"{before}.moved"
    bus = await running(services)
    events = [paid(1)]
    await services.emit(events)
    await services.wait_until_handled(events)
    poison = paid(-1)
    await bus.publish([message(poison)])
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([services.queue]))

    await eventually(is_dead)
    assert services.broker is not None
    there = BrokerDeadLetters(services.broker.url, exchange=before, shop=services.shop_id)
    assert await there.waiting([services.queue]) == []
    await there.close()


def owned_bus(services: TwoServices, database: int) -> RabbitMqBus:
    bus = services.make_bus(consumers={Paid.name: [services.queue]})
    assert isinstance(bus, RabbitMqBus)
    bus.own(services.consumer_name, DatabaseId(UUID(int=database), is_older_than_shop_ids=False))
    return bus


async def test_a_shop_of_the_same_name_with_another_database_is_refused_with_a_sentence(
    shops: tuple[TwoServices, TwoServices],
) -> None:
    one, two = shops
    two.shop_id = one.shop_id
    first = owned_bus(one, 1)
    await first.start()
    again = owned_bus(one, 1)
    await again.start()  # a replica
    foreign = owned_bus(two, 2)
    with pytest.raises(ForeignQueues, match="SHOP_ID or a RABBITMQ_EXCHANGE of its own"):
        await foreign.start()
    with pytest.raises(ForeignQueues):
        await foreign.publish([message(paid(1))])
    for bus in (first, again, foreign):
        await bus.close()


async def test_of_several_that_start_at_once_one_owns_the_queues(
    shops: tuple[TwoServices, TwoServices],
) -> None:
    buses = [owned_bus(shops[0], database) for database in range(1, 6)]
    outcomes = await asyncio.gather(*(bus.start() for bus in buses), return_exceptions=True)
    for bus in buses:
        await bus.close()
    again = [owned_bus(shops[0], database) for database in range(1, 6)]
    later = await asyncio.gather(*(bus.start() for bus in again), return_exceptions=True)
    for bus in again:
        await bus.close()
    assert all(isinstance(outcome, ForeignQueues | None) for outcome in [*outcomes, *later])
    assert list(later).count(None) <= 1


async def leave_legacy_queues(services: TwoServices) -> None:
    """What a version without shop ids leaves in the broker: an event, and a dead letter."""
    services.shop_id = ""
    bus = services.make_bus(consumers={Paid.name: [services.queue]})
    assert isinstance(bus, RabbitMqBus)
    await bus.publish([message(paid(1)), message(paid(2))])
    await bus.close()
    dying = services.make_bus(consumers={Paid.name: [services.queue]})
    assert isinstance(dying, RabbitMqBus)
    await dying.publish([message(paid(-1))])
    dying.subscribe(services.inbox())
    await dying.start()
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([services.queue]))

    await eventually(is_dead)
    await dying.publish([message(paid(3))])
    await dying.close()
    services.shop_id = "one"


async def test_legacy_queues_are_emptied(shops: tuple[TwoServices, TwoServices]) -> None:
    services = shops[0]
    await leave_legacy_queues(services)
    bus = services.make_bus(consumers={Paid.name: [services.queue]})
    bus.own(services.consumer_name, DatabaseId(UUID(int=1), is_older_than_shop_ids=True))
    bus.subscribe(services.inbox())
    await services.start(bus)
    assert services.broker is not None
    letters = services.dead_letters()

    async def is_emptied() -> bool:
        return len(await services.effects()) == 3 and bool(await letters.waiting([services.queue]))

    await eventually(is_emptied)
    [letter] = await letters.waiting([services.queue])
    assert "Poison" in letter.error
    services.shop_id = ""
    older = services.make_bus(consumers={Paid.name: [services.queue]})
    late = paid(4)
    await older.publish([message(late)])  # a process that was not replaced yet
    await older.close()

    async def is_handled() -> bool:
        return late.event_id in await services.effects()

    await eventually(is_handled)


async def test_a_newer_shop_does_not_touch_legacy_queues(
    shops: tuple[TwoServices, TwoServices],
) -> None:
    """They have the names of its own legacy queues, if it had some."""
    services, newcomer = shops
    await leave_legacy_queues(services)
    effects = len(await services.effects())
    bus = newcomer.make_bus(consumers={Paid.name: [newcomer.queue]})
    bus.own(newcomer.consumer_name, DatabaseId(UUID(int=2), is_older_than_shop_ids=False))
    bus.subscribe(newcomer.inbox())
    await newcomer.start(bus)
    sale = paid(9)
    newcomer.relay(bus)
    await newcomer.emit([sale])
    await newcomer.wait_until_handled([sale])
    assert len(await services.effects()) == effects
    assert len(await services.dead_letters().waiting([services.queue])) == 0, (
        "the new queue has its own dead letters"
    )
    services.shop_id = ""
    assert len(await services.dead_letters().waiting([services.queue])) == 1


async def test_a_database_keeps_its_id_and_whether_it_is_older_than_shop_ids(
    shops: tuple[TwoServices, TwoServices],
) -> None:
    fresh, used = shops[0].consumer_db, shops[1].consumer_db
    first = await fresh.run(identify, clock.new_id())
    assert not first.is_older_than_shop_ids
    await Inbox("till", Paid, record, fresh).handle([message(paid(1))])
    assert await fresh.run(identify, clock.new_id()) == first, "also after it consumed events"
    await Inbox("till", Paid, record, used).handle([message(paid(1))])
    older = await used.run(identify, clock.new_id())
    assert older.is_older_than_shop_ids
    assert older.id != first.id
    assert await used.run(identify, clock.new_id()) == older
