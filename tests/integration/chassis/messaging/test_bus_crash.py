"""Whatever dies, and whenever: nothing committed is lost, and nothing takes effect twice."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from cinesync.chassis.database import Transaction, retry
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.problems import Unavailable
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.bus_house import (
    BUS_KINDS,
    DELIVERIES_MAX,
    House,
    Paid,
    eventually,
    message,
    open_house,
    paid,
    record,
)


async def test_a_crash_between_commit_and_publish_is_healed_by_the_sweep(house: House) -> None:
    await house.child_dies("before publish")
    assert len(await house.unsent()) == 3
    assert await house.effects() == []
    house.relay(await house.open_bus())

    async def healed() -> bool:
        return len(await house.effects()) == 3 and not await house.unsent()

    await eventually(healed)


async def test_without_the_sweep_a_crash_before_publish_strands_the_event(house: House) -> None:
    """A relay that only publishes what its own process commits, as eShop's does."""
    await house.child_dies("before publish")
    stranded = await house.unsent()
    bus = await house.open_bus()
    event = paid(4)
    await house.sell([event])
    assert await bus.publish([message(event)])

    async def arrived() -> bool:
        return await house.effects() == [event.event_id]

    await eventually(arrived)
    assert set(stranded) <= set(await house.unsent())


async def test_a_crash_between_commit_and_ack_redelivers_without_a_second_effect(
    house: House,
) -> None:
    events = [paid(n) for n in range(5)]
    await house.sell(events)
    await house.child_dies("before ack")
    committed = await house.effects()
    assert committed, "the child died too early"
    # The child's lease on the relay has to run out first.
    bus = await house.open_bus()
    house.relay(bus)
    last = paid(9)
    await house.sell([last])
    await house.settled([*events, last])


@pytest.fixture
async def fragile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> AsyncIterator[tuple[House, Postgres]]:
    """A house whose till has a PostgreSQL of its own, to be stopped."""
    broker = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    server = Postgres(tmp_path_factory.mktemp("fragile"))
    server.start()
    house = await open_house(postgres, broker, server)
    yield house, server
    await house.close()
    server.stop()


def crash(server: Postgres) -> None:
    """An immediate shutdown: every connection breaks, and the next start recovers."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGQUIT)
    server.stop()


@dataclass(frozen=True, slots=True)
class CountingInbox(Inbox):
    """Counts how often it had to say that its database is away."""

    refusals: list[Unavailable] = field(default_factory=list)

    async def receive(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        """As every inbox."""
        try:
            return await Inbox.receive(self, messages)
        except Unavailable as error:
            self.refusals.append(error)
            raise


on_both_buses = pytest.mark.parametrize("fragile", BUS_KINDS, indirect=True)


@on_both_buses
async def test_a_database_that_is_away_costs_no_event_and_no_delivery(
    fragile: tuple[House, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 0.1)
    house, server = fragile
    inbox = CountingInbox(house.till_name, Paid, record, house.till)
    bus = house.make_bus()
    bus.subscribe(inbox)
    await house.start(bus)
    house.relay(bus)
    before = [paid(n) for n in range(10)]
    await house.sell(before)
    await house.settled(before)
    crash(server)
    during = [paid(n) for n in range(10)]
    await house.sell(during)

    async def refused_often() -> bool:
        return len(inbox.refusals) > DELIVERIES_MAX

    await eventually(refused_often)
    server.start()
    after = [paid(n) for n in range(10)]
    await house.sell(after)
    await house.settled([*before, *during, *after])
    assert await house.dead_letters().waiting([house.queue]) == []


@on_both_buses
async def test_a_bus_closes_while_its_database_is_away_and_hands_back(
    fragile: tuple[House, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 0.1)
    house, server = fragile
    inbox = CountingInbox(house.till_name, Paid, record, house.till)
    bus = house.make_bus()
    bus.subscribe(inbox)
    await house.start(bus)
    events = [paid(n) for n in range(10)]
    await house.sell(events)
    crash(server)
    house.relay(bus)

    async def refused() -> bool:
        return len(inbox.refusals) > 0

    await eventually(refused)
    await bus.close()
    server.start()
    house.relay(await house.open_bus())
    await house.settled(events)


@pytest.mark.rabbitmq
async def test_a_broker_killed_under_load_loses_nothing(house: House) -> None:
    assert house.broker is not None
    house.relay(await house.open_bus())
    events = [paid(n) for n in range(400)]
    for start in range(0, 400, 20):
        await house.sell(events[start : start + 20])
        if start == 200:
            house.broker.kill()
            await asyncio.to_thread(house.broker.start)
    await house.settled(events)


@pytest.mark.rabbitmq
async def test_a_broker_killed_with_full_queues_keeps_them(house: House) -> None:
    assert house.broker is not None
    await (await house.open_bus()).close()  # the queue exists, and nobody reads it
    publisher = house.make_bus()
    await house.start(publisher)
    events = [paid(n) for n in range(200)]
    assert len(await publisher.publish([message(event) for event in events])) == 200
    house.broker.kill()
    await asyncio.to_thread(house.broker.start)
    await house.open_bus()
    await house.settled(events)


@pytest.mark.rabbitmq
async def test_a_service_starts_while_the_broker_is_down_and_serves_when_it_is_up(
    house: House,
) -> None:
    assert house.broker is not None
    house.broker.kill()
    bus = house.make_bus()
    bus.subscribe(house.inbox())
    await bus.start()
    try:
        assert bus.trouble() is not None
        events = [paid(1), paid(2)]
        await house.sell(events)
        with pytest.raises(Unavailable):
            await bus.publish([message(event) for event in events])
        house.relay(bus)
    finally:
        await asyncio.to_thread(house.broker.start)
    await house.settled(events)

    async def is_well() -> bool:
        return bus.trouble() is None

    await eventually(is_well)
    await bus.close()


@pytest.mark.rabbitmq
async def test_a_broker_that_hangs_confirms_nothing_and_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.broker is not None
    bus = await house.open_bus()
    events = [paid(n) for n in range(5)]
    assert isinstance(bus, RabbitMqBus)
    monkeypatch.setattr(bus._publisher, "_publish_seconds_max", 0.5)
    house.broker.signal(signal.SIGSTOP)
    try:
        assert await bus.publish([message(event) for event in events]) == set()
    finally:
        house.broker.signal(signal.SIGCONT)
    monkeypatch.undo()
    await house.sell(events)
    house.relay(bus)
    await house.settled(events)


@pytest.mark.rabbitmq
async def test_what_close_interrupts_is_handed_back(house: House) -> None:
    """The batch that runs is finished; the messages behind it go to the next consumer."""
    running, may_end = asyncio.Event(), asyncio.Event()
    handled: list[int] = []

    async def slow(tx: Transaction, events: Sequence[Paid]) -> None:
        running.set()
        await may_end.wait()
        await record(tx, events)
        handled.extend(event.amount for event in events)

    bus = await house.open_bus(slow, prefetch=10)
    publisher = house.make_bus()
    await house.start(publisher)
    events = [paid(n) for n in range(100)]
    await publisher.publish([message(event) for event in events])
    await running.wait()
    closing = asyncio.create_task(bus.close())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert 0 < len(handled) < 100
    await house.open_bus()
    await house.settled(events)
