"""Two shops on one broker: each hears its own events, and nobody takes another's queues."""

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
from cinesync.chassis.messaging.rabbitmq.topology import Topology
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.bus_house import (
    House,
    Paid,
    eventually,
    message,
    open_house,
    paid,
    record,
)
from tests.support.rabbitmq_server import RabbitMqServer

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def shops(postgres: Postgres, rabbitmq: RabbitMqServer) -> AsyncIterator[tuple[House, House]]:
    """Two shops whose services, events and exchange have the same names."""
    one, two = await open_house(postgres, rabbitmq), await open_house(postgres, rabbitmq)
    two.till_name, two.exchange = one.till_name, one.exchange
    one.shop_id, two.shop_id = "one", "two"
    yield one, two
    await one.close()
    await two.close()


async def running(house: House) -> Bus:
    bus = house.make_bus(consumers={Paid.name: [house.queue]})
    bus.subscribe(house.inbox())
    await house.start(bus)
    house.relay(bus)
    return bus


async def test_two_shops_on_one_broker_do_not_take_each_others_events(
    shops: tuple[House, House],
) -> None:
    sales = [[paid(n) for n in range(20)] for _ in shops]
    for house in shops:
        await running(house)
    for house, events in zip(shops, sales, strict=True):
        await house.sell(events)
    for house, events in zip(shops, sales, strict=True):
        await house.settled(events)


async def test_without_the_shops_id_they_do(shops: tuple[House, House]) -> None:
    for house in shops:
        house.shop_id = ""
        await running(house)
    sold = [paid(n) for n in range(40)]
    await shops[0].sell(sold)

    async def all_heard() -> bool:
        heard = [await house.effects() for house in shops]
        return sum(map(len, heard)) >= len(sold)

    await eventually(all_heard)
    assert await shops[1].effects(), "the other shop took some"


async def test_another_exchange_is_another_set_of_queues_and_dead_letters(
    shops: tuple[House, House],
) -> None:
    """A queue remembers its dead letters' exchange, and cannot be declared with another."""
    house = shops[0]
    await (await running(house)).close()
    before = house.exchange
    house.exchange = f"{before}.moved"
    bus = await running(house)
    events = [paid(1)]
    await house.sell(events)
    await house.settled(events)
    poison = paid(-1)
    await bus.publish([message(poison)])
    letters = house.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([house.queue]))

    await eventually(is_dead)
    assert house.broker is not None
    there = BrokerDeadLetters(house.broker.url, exchange=before, shop=house.shop_id)
    assert await there.waiting([house.queue]) == []
    await there.close()


def known(house: House, database: int) -> RabbitMqBus:
    bus = house.make_bus(consumers={Paid.name: [house.queue]})
    assert isinstance(bus, RabbitMqBus)
    bus.own(house.till_name, DatabaseId(UUID(int=database), is_older_than_shop_ids=False))
    return bus


async def test_a_shop_of_the_same_name_with_another_database_is_refused_with_a_sentence(
    shops: tuple[House, House],
) -> None:
    one, two = shops
    two.shop_id = one.shop_id
    first = known(one, 1)
    await first.start()
    again = known(one, 1)
    await again.start()  # a replica
    foreign = known(two, 2)
    with pytest.raises(ForeignQueues, match="SHOP_ID or a RABBITMQ_EXCHANGE of its own"):
        await foreign.start()
    with pytest.raises(ForeignQueues):
        await foreign.publish([message(paid(1))])
    for bus in (first, again, foreign):
        await bus.close()


async def test_of_two_that_begin_at_once_one_has_the_queues(shops: tuple[House, House]) -> None:
    buses = [known(shops[0], database) for database in range(1, 6)]
    outcomes = await asyncio.gather(*(bus.start() for bus in buses), return_exceptions=True)
    for bus in buses:
        await bus.close()
    again = [known(shops[0], database) for database in range(1, 6)]
    later = await asyncio.gather(*(bus.start() for bus in again), return_exceptions=True)
    for bus in again:
        await bus.close()
    assert all(isinstance(outcome, ForeignQueues | None) for outcome in [*outcomes, *later])
    assert list(later).count(None) <= 1


async def old_shop(house: House) -> None:
    """What a version without shop ids left in the broker: a sale nobody heard, a dead letter."""
    house.shop_id = ""
    bus = house.make_bus(consumers={Paid.name: [house.queue]})
    assert isinstance(bus, RabbitMqBus)
    await bus.publish([message(paid(1)), message(paid(2))])
    await bus.close()
    dying = house.make_bus(consumers={Paid.name: [house.queue]})
    assert isinstance(dying, RabbitMqBus)
    await dying.publish([message(paid(-1))])
    dying.subscribe(house.inbox())
    await dying.start()
    letters = house.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([house.queue]))

    await eventually(is_dead)
    await dying.publish([message(paid(3))])
    await dying.close()
    house.shop_id = "one"


async def test_an_older_shops_queues_are_taken_over(shops: tuple[House, House]) -> None:
    house = shops[0]
    await old_shop(house)
    bus = house.make_bus(consumers={Paid.name: [house.queue]})
    bus.own(house.till_name, DatabaseId(UUID(int=1), is_older_than_shop_ids=True))
    bus.subscribe(house.inbox())
    await house.start(bus)
    assert house.broker is not None
    letters = house.dead_letters()

    async def is_taken_over() -> bool:
        return len(await house.effects()) == 3 and bool(await letters.waiting([house.queue]))

    await eventually(is_taken_over)
    [letter] = await letters.waiting([house.queue])
    assert "Poison" in letter.error
    older = house.make_bus(consumers={Paid.name: [house.queue]})
    assert isinstance(older, RabbitMqBus)
    older._topology = Topology(house.exchange)
    older._publisher._topology = older._topology
    late = paid(4)
    await older.publish([message(late)])  # a process that was not replaced yet
    await older.close()

    async def is_heard() -> bool:
        return late.event_id in await house.effects()

    await eventually(is_heard)


async def test_a_new_shop_leaves_an_older_shops_queues_alone(shops: tuple[House, House]) -> None:
    """Their names could be its own, were it as old."""
    house, newcomer = shops
    await old_shop(house)
    effects = len(await house.effects())
    bus = newcomer.make_bus(consumers={Paid.name: [newcomer.queue]})
    bus.own(newcomer.till_name, DatabaseId(UUID(int=2), is_older_than_shop_ids=False))
    bus.subscribe(newcomer.inbox())
    await newcomer.start(bus)
    sale = paid(9)
    newcomer.relay(bus)
    await newcomer.sell([sale])
    await newcomer.settled([sale])
    assert len(await house.effects()) == effects
    assert len(await house.dead_letters().waiting([house.queue])) == 0, "its names bear its id now"
    house.shop_id = ""
    assert len(await house.dead_letters().waiting([house.queue])) == 1


async def test_a_database_has_one_id_for_ever_and_knows_whether_it_is_older(
    shops: tuple[House, House],
) -> None:
    fresh, used = shops[0].till, shops[1].till
    first = await fresh.run(identify, clock.new_id())
    assert not first.is_older_than_shop_ids
    await Inbox("till", Paid, record, fresh).receive([message(paid(1))])
    assert await fresh.run(identify, clock.new_id()) == first, "also when it has heard since"
    await Inbox("till", Paid, record, used).receive([message(paid(1))])
    older = await used.run(identify, clock.new_id())
    assert older.is_older_than_shop_ids
    assert older.id != first.id
    assert await used.run(identify, clock.new_id()) == older
