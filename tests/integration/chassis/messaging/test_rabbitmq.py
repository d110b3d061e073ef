"""What only a broker can do: returns, lost consumers, deleted queues, killed consumers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import aio_pika
import aiormq
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import PublishError
from structlog.testing import capture_logs

from cinesync.chassis.backoff import Backoff
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.rabbitmq import consumer as consumers_module
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.messaging.rabbitmq.connection import AmqpConnection
from cinesync.chassis.messaging.rabbitmq.consumer import Consumer, Subscription
from cinesync.chassis.messaging.rabbitmq.declaration import Declaration
from cinesync.chassis.messaging.rabbitmq.publisher import BrokerUnavailable, Publisher
from cinesync.chassis.messaging.rabbitmq.topology import Topology, persistent
from tests.integration.chassis.messaging.two_services import (
    Paid,
    Poison,
    Seen,
    TwoServices,
    message,
    paid,
    record,
    seen,
)
from tests.support.eventually import eventually

pytestmark = pytest.mark.rabbitmq

FAST_WATCHDOG = {"no_ack": False, "watchdog_seconds": 0.2}


@pytest.fixture
async def channel(services: TwoServices) -> AsyncIterator[AbstractChannel]:
    """Another client's channel to the same broker."""
    assert services.broker_url is not None
    connection = await aio_pika.connect(services.broker_url)
    async with connection:
        yield await connection.channel(on_return_raises=True)


async def publisher_bus(
    services: TwoServices, consumers: Mapping[str, Sequence[str]] | None = None
) -> RabbitMqBus:
    """A running bus that consumes nothing."""
    bus = services.make_bus(consumers=consumers)
    await services.start(bus)
    assert isinstance(bus, RabbitMqBus)
    return bus


async def test_an_event_without_a_queue_is_not_sent_until_there_is_one(
    services: TwoServices,
) -> None:
    bus = await publisher_bus(services)
    event = paid(1)
    await services.emit([event])
    assert await bus.publish([message(event)]) == set()
    assert await services.unsent() == [event.event_id]
    services.relay(bus)
    await services.open_bus()
    await services.wait_until_handled([event])


async def test_without_raising_returns_an_unroutable_event_would_count_as_sent(
    services: TwoServices, channel: AbstractChannel
) -> None:
    """aio-pika's default: the broker acknowledges what it routed nowhere."""
    silent = await channel._connection.channel()  # type: ignore[attr-defined]
    for each, raises in ((silent, False), (channel, True)):
        exchange = await Topology(services.exchange).declare_exchanges(each)
        publishing = exchange.publish(persistent(b"{}", str(paid(1).event_id), "x"), "no.such")
        if raises:
            with pytest.raises(PublishError):
                await publishing
        else:
            await publishing


async def test_an_event_without_consumers_is_sent_without_a_queue(
    services: TwoServices,
) -> None:
    bus = await publisher_bus(services, {Seen.name: []})
    unheard, sale = seen(1), paid(1)
    assert await bus.publish([message(unheard), message(sale)]) == {unheard.event_id}


async def test_an_event_waits_for_a_consumer_that_has_never_started(services: TwoServices) -> None:
    """Unless all queues are declared first, it counts as routed when one consumer has it."""
    await services.open_bus()
    late = services.inbox(service=f"late{services.consumer_name}")
    bus = await publisher_bus(services, {Paid.name: [services.queue, late.queue]})
    event = paid(1)
    assert await bus.publish([message(event)]) == {event.event_id}
    late_bus = services.make_bus()
    late_bus.subscribe(late)
    await services.start(late_bus)

    async def both_have_it() -> bool:
        return await services.effects() == [event.event_id] * 2

    await eventually(both_have_it)


async def test_no_process_uses_a_queue_while_another_declares_it(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_declaring, may_end = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        is_declaring.set()
        await may_end.wait()

    monkeypatch.setattr(Declaration, "_wait_until_written", staticmethod(wait))
    first, second = (services.make_bus(consumers={Paid.name: [services.queue]}) for _ in range(2))
    events = [paid(1), paid(2)]
    publishing = [asyncio.create_task(first.publish([message(events[0])]))]
    await is_declaring.wait()
    with capture_logs() as logs:
        publishing.append(asyncio.create_task(second.publish([message(events[1])])))

        async def second_waits() -> bool:
            return any(line["event"] == "topology.waiting" for line in logs)

        await eventually(second_waits)
    assert not any(task.done() for task in publishing)
    may_end.set()
    assert await asyncio.gather(*publishing) == [{event.event_id} for event in events]
    for bus in (first, second):
        await bus.close()


async def test_a_declaration_that_was_cut_short_is_finished_by_another_process(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_declaring = asyncio.Event()

    async def wait() -> None:
        is_declaring.set()
        await asyncio.Future()

    bus = services.make_bus(consumers={Paid.name: [services.queue]})
    with monkeypatch.context() as patch:
        patch.setattr(Declaration, "_wait_until_written", staticmethod(wait))
        publishing = asyncio.create_task(bus.publish([message(paid(1))]))
        await is_declaring.wait()
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await bus.close()
    other = services.make_bus(consumers={Paid.name: [services.queue]})
    event = paid(2)
    assert await other.publish([message(event)]) == {event.event_id}
    await other.close()


async def test_a_topology_that_is_there_is_not_declared_again(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.open_bus()

    async def fail() -> None:
        raise AssertionError

    monkeypatch.setattr(Declaration, "_wait_until_written", staticmethod(fail))
    again = services.make_bus(consumers={Paid.name: [services.queue]})
    assert isinstance(again, RabbitMqBus)
    assert await again.declare() == 1
    await again.close()


async def test_a_publisher_that_cannot_open_closes_its_channels(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Declaration, connection: AmqpConnection) -> None:
        raise OSError

    bus = await publisher_bus(services)
    await bus._publisher.open()  # the bus opens it, and may be about to
    monkeypatch.setattr(Declaration, "ensure", refuse)
    await bus._publisher.close()
    assert bus._publishing._connection is not None
    transport = bus._publishing._connection.transport
    assert transport is not None
    before = len(transport.connection.channels)
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            await bus.publish([message(paid(1))])
    assert len(transport.connection.channels) == before


async def test_reading_dead_letters_declares_nothing(services: TwoServices) -> None:
    assert await services.dead_letters().waiting([services.queue]) == []
    assert await services.dead_letters().replay(services.queue) == 0
    bus = await publisher_bus(services)
    assert (
        await bus._publishing.consumer_count(Topology(services.exchange).dead_queue(services.queue))
        is None
    )


async def test_an_id_is_never_in_flight_twice(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.open_bus()
    bus = await publisher_bus(services)
    gate, started, sent = asyncio.Event(), asyncio.Event(), list[str]()
    real_send = Publisher._send

    async def slow(self: Publisher, channel: AbstractChannel, message: Message) -> object:
        sent.append(str(message.event_id))
        started.set()
        await gate.wait()
        return await real_send(self, channel, message)

    monkeypatch.setattr(Publisher, "_send", slow)
    event = message(paid(1))
    first = asyncio.create_task(bus.publish([event, event]))
    await started.wait()
    assert await bus.publish([event]) == set()
    gate.set()
    assert await first == {event.event_id}
    assert sent == [str(event.event_id)]
    assert await bus.publish([event]) == {event.event_id}


async def test_a_cancelled_publish_spends_its_channel(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.open_bus()
    bus = await publisher_bus(services)
    before = await bus._publisher.open()
    started = asyncio.Event()

    async def hangs(self: Publisher, channel: AbstractChannel, message: Message) -> object:
        started.set()
        return await asyncio.Future()

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_send", hangs)
        publishing = asyncio.create_task(bus.publish([message(paid(1))]))
        await started.wait()
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
    assert before.is_closed
    assert await bus._publisher.open() is not before


async def test_a_deleted_queue_comes_back_with_its_consumer(
    services: TwoServices, channel: AbstractChannel
) -> None:
    services.relay(await services.open_bus())
    first, second = paid(1), paid(2)
    await services.emit([first])
    await services.wait_until_handled([first])
    await channel.queue_delete(services.queue)
    await services.emit([second])
    await services.wait_until_handled([first, second])


async def test_the_watchdog_subscribes_again_when_the_consumer_vanished_silently(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscription.__init__, "__kwdefaults__", FAST_WATCHDOG)
    bus = await services.open_bus()
    assert isinstance(bus, RabbitMqBus)
    assert bus._consuming._connection is not None
    transport = bus._consuming._connection.transport
    assert transport is not None
    cancelled = 0
    for each in transport.connection.channels.values():
        assert isinstance(each, aiormq.Channel)
        for tag in list(each.consumers):
            each.on_consumer_cancel_callbacks.clear()  # so that the subscription does not know
            await each.basic_cancel(tag)
            cancelled += 1
    assert cancelled == 1
    event = paid(1)
    services.relay(bus)
    await services.emit([event])
    await services.wait_until_handled([event])


async def test_a_message_that_kills_its_consumer_ends_among_the_dead_letters(
    services: TwoServices, channel: AbstractChannel
) -> None:
    """No consumer counts its deliveries, but the broker does."""
    await (await services.open_bus()).close()
    bus = await publisher_bus(services)
    event = paid(1)
    await bus.publish([message(event)])
    queue = await channel.get_queue(services.queue)
    letters = services.dead_letters()

    async def is_dead() -> bool:
        taken = await queue.get(fail=False)
        if taken is not None:
            await taken.nack(requeue=True)  # as the broker does for a consumer that died
        return bool(await letters.waiting([services.queue]))

    await eventually(is_dead)
    [letter] = await letters.waiting([services.queue])
    assert letter.event_id == event.event_id
    assert letter.died_at is not None
    assert "killed its consumer" in letter.error


async def test_a_message_without_an_id_is_a_dead_letter(
    services: TwoServices, channel: AbstractChannel
) -> None:
    await services.open_bus()
    await channel.default_exchange.publish(
        aio_pika.Message(b"hello", message_id="?"), services.queue
    )
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([services.queue]))

    await eventually(is_dead)
    [letter] = await letters.waiting([services.queue])
    assert (letter.body, letter.error) == (b"hello", "the message id is not a UUID")


async def test_dead_letters_survive_many_reads_and_a_killed_broker(
    services: TwoServices,
) -> None:
    async def broken(tx: Transaction, events: Sequence[Paid]) -> None:
        raise RuntimeError("no")

    bus = await services.open_bus(broken)
    event = paid(1)
    await bus.publish([message(event)])
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return len(await letters.waiting([services.queue])) == 1

    await eventually(is_dead)
    await bus.close()
    for _ in range(30):
        assert await is_dead()
    assert services.broker is not None
    services.broker.kill()
    await asyncio.to_thread(services.broker.start)
    await eventually(is_dead)  # a quorum queue elects its leader first
    assert await letters.replay(services.queue) == 1
    await services.open_bus(record)
    await services.wait_until_handled([event])


async def test_a_message_whose_handler_recovers_is_no_dead_letter(services: TwoServices) -> None:
    attempts = 0

    async def failing_twice(tx: Transaction, events: Sequence[Paid]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise RuntimeError("not today")
        await record(tx, events)

    services.relay(await services.open_bus(failing_twice))
    event = paid(1)
    await services.emit([event])
    await services.wait_until_handled([event])
    assert await services.dead_letters().waiting([services.queue]) == []


async def test_a_message_that_cannot_become_a_dead_letter_returns_to_its_queue(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    real_dead_letter = Publisher.dead_letter

    async def dead_letter(
        self: Publisher, queue: str, message: AbstractIncomingMessage, error: str
    ) -> bool:
        if refused.is_set():
            return await real_dead_letter(self, queue, message, error)
        refused.set()
        return False

    monkeypatch.setattr(Publisher, "dead_letter", dead_letter)
    bus = await services.open_bus()
    event = paid(-1)
    await bus.publish([message(event)])
    await refused.wait()
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([services.queue]))

    await eventually(is_dead)
    assert [x.event_id for x in await letters.waiting([services.queue])] == [event.event_id]


async def test_a_message_to_retry_is_not_acknowledged_with_later_ones(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers_module, "RETRYING", Backoff(3.0, 10.0, jitter=0.0))
    failed_once = asyncio.Event()

    async def fail_once(tx: Transaction, events: Sequence[Paid]) -> None:
        if not failed_once.is_set():
            failed_once.set()
            raise Poison
        await record(tx, events)

    bus = await services.open_bus(fail_once)
    first, second = paid(1), paid(2)
    await bus.publish([message(first)])
    await failed_once.wait()
    await bus.publish([message(second)])

    async def second_there() -> bool:
        return second.event_id in await services.effects()

    await eventually(second_there)
    await bus.close()  # what was not acknowledged goes back
    await services.open_bus(fail_once)
    await services.wait_until_handled([first, second])


async def test_a_batch_that_ends_with_a_message_without_id_is_settled(
    services: TwoServices, channel: AbstractChannel
) -> None:
    bus = await services.open_bus()
    await bus.close()  # its queue stays
    event = paid(1)
    exchange = await channel.get_exchange(services.exchange, ensure=False)
    for name in (str(event.event_id), "no UUID"):
        sent = persistent(message(event).body, name, Paid.name)
        await exchange.publish(sent, Paid.name)
    queue = await channel.get_queue(services.queue, ensure=False)
    arrived = [await queue.get(timeout=10) for _ in range(2)]
    assert isinstance(bus, RabbitMqBus)
    await Consumer(services.inbox(), bus._publisher).handle(arrived)
    await services.wait_until_handled([event])
    assert await queue.get(fail=False) is None, "and the channel is still open"
    [letter] = await services.dead_letters().waiting([services.queue])
    assert "UUID" in letter.error
