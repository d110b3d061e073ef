"""Crashes of processes, databases and the broker: each event takes effect exactly once."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from cinesync.chassis.database import Transaction, retry
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.problems import Unavailable
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.two_services import (
    BUS_KINDS,
    DELIVERIES_MAX,
    Paid,
    TwoServices,
    message,
    open_two_services,
    paid,
    record,
)
from tests.support.eventually import eventually


async def test_polling_publishes_what_a_crash_after_the_commit_left(
    services: TwoServices,
) -> None:
    await services.kill_process("before publish")
    assert len(await services.unsent()) == 3
    assert await services.effects() == []
    services.relay(await services.open_bus())

    async def published() -> bool:
        return len(await services.effects()) == 3 and not await services.unsent()

    await eventually(published)


async def test_without_polling_a_crash_before_publish_strands_the_event(
    services: TwoServices,
) -> None:
    """A relay that only publishes what its own process commits, as eShop's does."""
    await services.kill_process("before publish")
    stranded = await services.unsent()
    bus = await services.open_bus()
    event = paid(4)
    await services.emit([event])
    assert await bus.publish([message(event)])

    async def arrived() -> bool:
        return await services.effects() == [event.event_id]

    await eventually(arrived)
    assert set(stranded) <= set(await services.unsent())


async def test_a_crash_between_commit_and_ack_redelivers_without_a_second_effect(
    services: TwoServices,
) -> None:
    events = [paid(n) for n in range(5)]
    await services.emit(events)
    await services.kill_process("before ack")
    committed = await services.effects()
    assert committed, "the child died too early"
    # The child's lease on the relay has to run out first.
    bus = await services.open_bus()
    services.relay(bus)
    last = paid(9)
    await services.emit([last])
    await services.wait_until_handled([*events, last])


@pytest.fixture
async def fragile(
    request: pytest.FixtureRequest, postgres: Postgres
) -> AsyncIterator[tuple[TwoServices, Postgres]]:
    """Two services; the consumer has a PostgreSQL of its own, to be stopped."""
    broker = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    with tempfile.TemporaryDirectory(prefix="cinesync-tests-") as folder:
        server = Postgres(Path(folder))
        server.start()
        services = await open_two_services(postgres, broker, server)
        yield services, server
        await services.close()
        server.stop()


def crash(server: Postgres) -> None:
    """An immediate shutdown: every connection breaks, and the next start recovers."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGQUIT)
    server.stop()


@dataclass(frozen=True, slots=True)
class CountingInbox(Inbox):
    """Counts how often its database was unavailable."""

    refusals: list[Unavailable] = field(default_factory=list)

    async def handle(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        """As every inbox."""
        try:
            return await Inbox.handle(self, messages)
        except Unavailable as error:
            self.refusals.append(error)
            raise


on_both_buses = pytest.mark.parametrize("fragile", BUS_KINDS, indirect=True)


@on_both_buses
async def test_an_unavailable_database_costs_no_event_and_no_delivery(
    fragile: tuple[TwoServices, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 0.1)
    services, server = fragile
    inbox = CountingInbox(services.consumer_name, Paid, record, services.consumer_db)
    bus = services.make_bus()
    bus.subscribe(inbox)
    await services.start(bus)
    services.relay(bus)
    before = [paid(n) for n in range(10)]
    await services.emit(before)
    await services.wait_until_handled(before)
    crash(server)
    during = [paid(n) for n in range(10)]
    await services.emit(during)

    async def refused_often() -> bool:
        return len(inbox.refusals) > DELIVERIES_MAX

    await eventually(refused_often)
    server.start()
    after = [paid(n) for n in range(10)]
    await services.emit(after)
    await services.wait_until_handled([*before, *during, *after])
    assert await services.dead_letters().waiting([services.queue]) == []


@on_both_buses
async def test_a_bus_closes_while_its_database_is_unavailable(
    fragile: tuple[TwoServices, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 0.1)
    services, server = fragile
    inbox = CountingInbox(services.consumer_name, Paid, record, services.consumer_db)
    bus = services.make_bus()
    bus.subscribe(inbox)
    await services.start(bus)
    events = [paid(n) for n in range(10)]
    await services.emit(events)
    crash(server)
    services.relay(bus)

    async def refused() -> bool:
        return len(inbox.refusals) > 0

    await eventually(refused)
    await bus.close()
    server.start()
    services.relay(await services.open_bus())
    await services.wait_until_handled(events)


@pytest.mark.rabbitmq
async def test_a_broker_killed_under_load_loses_nothing(services: TwoServices) -> None:
    assert services.broker is not None
    services.relay(await services.open_bus())
    events = [paid(n) for n in range(400)]
    for start in range(0, 400, 20):
        await services.emit(events[start : start + 20])
        if start == 200:
            services.broker.kill()
            await asyncio.to_thread(services.broker.start)
    await services.wait_until_handled(events)


@pytest.mark.rabbitmq
async def test_a_broker_killed_with_full_queues_keeps_them(services: TwoServices) -> None:
    assert services.broker is not None
    await (await services.open_bus()).close()  # the queue exists, and has no consumer
    publisher = services.make_bus()
    await services.start(publisher)
    events = [paid(n) for n in range(200)]
    assert len(await publisher.publish([message(event) for event in events])) == 200
    services.broker.kill()
    await asyncio.to_thread(services.broker.start)
    await services.open_bus()
    await services.wait_until_handled(events)


@pytest.mark.rabbitmq
async def test_a_service_starts_while_the_broker_is_down_and_serves_when_it_is_up(
    services: TwoServices,
) -> None:
    assert services.broker is not None
    services.broker.kill()
    bus = services.make_bus()
    bus.subscribe(services.inbox())
    await bus.start()
    try:
        assert bus.trouble() is not None
        events = [paid(1), paid(2)]
        await services.emit(events)
        with pytest.raises(Unavailable):
            await bus.publish([message(event) for event in events])
        services.relay(bus)
    finally:
        await asyncio.to_thread(services.broker.start)
    await services.wait_until_handled(events)

    async def is_well() -> bool:
        return bus.trouble() is None

    await eventually(is_well)
    await bus.close()


@pytest.mark.rabbitmq
async def test_a_broker_that_hangs_confirms_nothing_and_loses_nothing(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert services.broker is not None
    bus = await services.open_bus()
    events = [paid(n) for n in range(5)]
    assert isinstance(bus, RabbitMqBus)
    monkeypatch.setattr(bus._publisher, "_publish_seconds_max", 0.5)
    services.broker.signal(signal.SIGSTOP)
    try:
        assert await bus.publish([message(event) for event in events]) == set()
    finally:
        services.broker.signal(signal.SIGCONT)
    monkeypatch.undo()
    await services.emit(events)
    services.relay(bus)
    await services.wait_until_handled(events)


@pytest.mark.rabbitmq
async def test_messages_behind_the_running_batch_return_to_the_queue(services: TwoServices) -> None:
    """The batch that runs is finished; the messages behind it go to the next consumer."""
    running, may_end = asyncio.Event(), asyncio.Event()
    handled: list[int] = []

    async def slow(tx: Transaction, events: Sequence[Paid]) -> None:
        running.set()
        await may_end.wait()
        await record(tx, events)
        handled.extend(event.amount for event in events)

    bus = await services.open_bus(slow, prefetch=10)
    publisher = services.make_bus()
    await services.start(publisher)
    events = [paid(n) for n in range(100)]
    await publisher.publish([message(event) for event in events])
    await running.wait()
    closing = asyncio.create_task(bus.close())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert 0 < len(handled) < 100
    await services.open_bus()
    await services.wait_until_handled(events)
