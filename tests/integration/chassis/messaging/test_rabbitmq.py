"""What only a broker can do to us: returns, lost consumers, deleted queues, killed consumers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import aio_pika
import aiormq
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import PublishError

from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.rabbitmq import bus as rabbitmq
from cinesync.chassis.messaging.rabbitmq import connection as rabbitmq_link
from cinesync.chassis.messaging.rabbitmq.bus import Feed, RabbitMqBus
from cinesync.chassis.messaging.rabbitmq.connection import Link
from cinesync.chassis.messaging.rabbitmq.publisher import BrokerAway, Publisher
from cinesync.chassis.messaging.rabbitmq.topology import Topology, persistent
from tests.integration.chassis.messaging.bus_house import (
    House,
    Paid,
    Poison,
    Seen,
    eventually,
    message,
    paid,
    record,
    seen,
)

pytestmark = pytest.mark.rabbitmq

FAST_WATCH = {"no_ack": False, "watch_seconds": 0.2}


@pytest.fixture
async def channel(house: House) -> AsyncIterator[AbstractChannel]:
    """Somebody else's channel to the same broker."""
    assert house.broker_url is not None
    connection = await aio_pika.connect(house.broker_url)
    async with connection:
        yield await connection.channel(on_return_raises=True)


async def publisher_bus(
    house: House, consumers: Mapping[str, Sequence[str]] | None = None
) -> RabbitMqBus:
    """A running bus that consumes nothing."""
    bus = house.make_bus(consumers=consumers)
    await house.start(bus)
    assert isinstance(bus, RabbitMqBus)
    return bus


async def test_an_event_without_a_queue_is_not_sent_until_there_is_one(house: House) -> None:
    bus = await publisher_bus(house)
    event = paid(1)
    await house.sell([event])
    assert await bus.publish([message(event)]) == set()
    assert await house.unsent() == [event.event_id]
    house.relay(bus)
    await house.open_bus()
    await house.settled([event])


async def test_without_raising_returns_an_unroutable_event_would_count_as_sent(
    house: House, channel: AbstractChannel
) -> None:
    """aio-pika's default: the broker acknowledges what it routed nowhere."""
    silent = await channel._connection.channel()  # type: ignore[attr-defined]
    for each, raises in ((silent, False), (channel, True)):
        exchange = await Topology(house.exchange).declare_exchanges(each)
        publishing = exchange.publish(persistent(b"{}", str(paid(1).event_id), "x"), "no.such")
        if raises:
            with pytest.raises(PublishError):
                await publishing
        else:
            await publishing


async def test_an_event_that_nobody_needs_to_hear_is_sent_without_a_queue(house: House) -> None:
    bus = await publisher_bus(house, {Seen.name: []})
    whisper, sale = seen(1), paid(1)
    assert await bus.publish([message(whisper), message(sale)]) == {whisper.event_id}


async def test_an_event_waits_for_a_consumer_that_has_never_started(house: House) -> None:
    """Without the publisher's own declaration it counts as routed when the first has it."""
    await house.open_bus()
    late = house.inbox(service=f"late{house.till_name}")
    bus = await publisher_bus(house, {Paid.name: [house.queue, late.queue]})
    event = paid(1)
    assert await bus.publish([message(event)]) == {event.event_id}
    latecomer = house.make_bus()
    latecomer.subscribe(late)
    await house.start(latecomer)

    async def both_have_it() -> bool:
        return await house.effects() == [event.event_id] * 2

    await eventually(both_have_it)


async def test_no_process_uses_a_queue_while_another_lets_it_settle(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Semaphore(0)

    async def settle_for_ever() -> None:
        waiting.release()
        await asyncio.Future()

    monkeypatch.setattr(Topology, "_let_settle", staticmethod(settle_for_ever))
    buses = [house.make_bus(consumers={Paid.name: [house.queue]}) for _ in range(2)]
    for bus in buses:
        publishing = asyncio.create_task(bus.publish([message(paid(1))]))
        is_waiting = asyncio.create_task(waiting.acquire())
        done, _ = await asyncio.wait({publishing, is_waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert done == {is_waiting}
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await bus.close()


async def test_a_publisher_that_cannot_open_leaves_no_channel_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Topology, link: Link, queues: Mapping[str, str]) -> None:
        raise OSError

    bus = await publisher_bus(house)
    await bus._publisher.open()  # it opens by itself, and may be about to
    monkeypatch.setattr(Topology, "establish", refuse)
    await bus._publisher.close()
    assert bus._publishing._connection is not None
    transport = bus._publishing._connection.transport
    assert transport is not None
    before = len(transport.connection.channels)
    for _ in range(3):
        with pytest.raises(BrokerAway):
            await bus.publish([message(paid(1))])
    assert len(transport.connection.channels) == before


async def test_looking_for_dead_letters_declares_nothing(house: House) -> None:
    assert await house.dead_letters().waiting([house.queue]) == []
    assert await house.dead_letters().replay(house.queue) == 0
    bus = await publisher_bus(house)
    assert (
        await bus._publishing.consumer_count(Topology(house.exchange).dead_queue(house.queue))
        is None
    )


async def test_an_id_is_never_in_flight_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open_bus()
    bus = await publisher_bus(house)
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
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open_bus()
    bus = await publisher_bus(house)
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
    house: House, channel: AbstractChannel
) -> None:
    house.relay(await house.open_bus())
    first, second = paid(1), paid(2)
    await house.sell([first])
    await house.settled([first])
    await channel.queue_delete(house.queue)
    await house.sell([second])
    await house.settled([first, second])


async def test_the_watchdog_subscribes_again_when_the_consumer_vanished_silently(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_link.Subscription.__init__, "__kwdefaults__", FAST_WATCH)
    bus = await house.open_bus()
    assert isinstance(bus, RabbitMqBus)
    assert bus._consuming._connection is not None
    transport = bus._consuming._connection.transport
    assert transport is not None
    cancelled = 0
    for each in transport.connection.channels.values():
        assert isinstance(each, aiormq.Channel)
        for tag in list(each.consumers):
            each.on_consumer_cancel_callbacks.clear()  # so that nobody tells the subscription
            await each.basic_cancel(tag)
            cancelled += 1
    assert cancelled == 1
    event = paid(1)
    house.relay(bus)
    await house.sell([event])
    await house.settled([event])


async def test_a_message_that_kills_its_consumer_ends_among_the_dead_letters(
    house: House, channel: AbstractChannel
) -> None:
    """Nobody is left to count; the broker does."""
    await (await house.open_bus()).close()
    bus = await publisher_bus(house)
    event = paid(1)
    await bus.publish([message(event)])
    queue = await channel.get_queue(house.queue)
    letters = house.dead_letters()

    async def is_dead() -> bool:
        taken = await queue.get(fail=False)
        if taken is not None:
            await taken.nack(requeue=True)  # what the broker does for a consumer that died
        return bool(await letters.waiting([house.queue]))

    await eventually(is_dead)
    [letter] = await letters.waiting([house.queue])
    assert letter.event_id == event.event_id
    assert letter.died_at is not None
    assert "killed its consumer" in letter.error


async def test_a_foreign_message_without_an_id_is_set_aside(
    house: House, channel: AbstractChannel
) -> None:
    await house.open_bus()
    await channel.default_exchange.publish(aio_pika.Message(b"hello", message_id="?"), house.queue)
    letters = house.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([house.queue]))

    await eventually(is_dead)
    [letter] = await letters.waiting([house.queue])
    assert (letter.body, letter.error) == (b"hello", "the message id is not a UUID")


async def test_dead_letters_survive_being_looked_at_and_the_brokers_death(house: House) -> None:
    async def broken(tx: Transaction, events: Sequence[Paid]) -> None:
        raise RuntimeError("no")

    bus = await house.open_bus(broken)
    event = paid(1)
    await bus.publish([message(event)])
    letters = house.dead_letters()

    async def is_dead() -> bool:
        return len(await letters.waiting([house.queue])) == 1

    await eventually(is_dead)
    await bus.close()
    for _ in range(30):
        assert await is_dead()
    assert house.broker is not None
    house.broker.kill()
    await asyncio.to_thread(house.broker.start)
    await eventually(is_dead)  # a quorum queue elects its leader first
    assert await letters.replay(house.queue) == 1
    await house.open_bus(record)
    await house.settled([event])


async def test_a_handler_that_recovers_costs_its_message_nothing(house: House) -> None:
    attempts = 0

    async def moody(tx: Transaction, events: Sequence[Paid]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise RuntimeError("not today")
        await record(tx, events)

    house.relay(await house.open_bus(moody))
    event = paid(1)
    await house.sell([event])
    await house.settled([event])
    assert await house.dead_letters().waiting([house.queue]) == []


async def test_a_poison_message_that_cannot_be_buried_goes_back_to_its_queue(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    real_bury = Publisher.bury

    async def bury(self: Publisher, queue: str, message: AbstractIncomingMessage, e: str) -> bool:
        if refused.is_set():
            return await real_bury(self, queue, message, e)
        refused.set()
        return False

    monkeypatch.setattr(Publisher, "bury", bury)
    bus = await house.open_bus()
    event = paid(-1)
    await bus.publish([message(event)])
    await refused.wait()
    letters = house.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([house.queue]))

    await eventually(is_dead)
    assert [x.event_id for x in await letters.waiting([house.queue])] == [event.event_id]


async def test_what_waits_for_another_try_is_not_acknowledged_with_what_came_after(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "RETRY_SECONDS_FIRST", 3.0)
    failed_once = asyncio.Event()

    async def fail_once(tx: Transaction, events: Sequence[Paid]) -> None:
        if not failed_once.is_set():
            failed_once.set()
            raise Poison
        await record(tx, events)

    bus = await house.open_bus(fail_once)
    first, second = paid(1), paid(2)
    await bus.publish([message(first)])
    await failed_once.wait()
    await bus.publish([message(second)])

    async def second_there() -> bool:
        return second.event_id in await house.effects()

    await eventually(second_there)
    await bus.close()  # what was not acknowledged goes back
    await house.open_bus(fail_once)
    await house.settled([first, second])


async def test_a_batch_that_ends_with_a_message_nobody_can_name_is_settled(
    house: House, channel: AbstractChannel
) -> None:
    bus = await house.open_bus()
    await bus.close()  # its queue stays
    event = paid(1)
    exchange = await channel.get_exchange(house.exchange, ensure=False)
    for name in (str(event.event_id), "no UUID"):
        sent = persistent(message(event).body, name, Paid.name)
        await exchange.publish(sent, Paid.name)
    queue = await channel.get_queue(house.queue, ensure=False)
    arrived = [await queue.get(timeout=10) for _ in range(2)]
    assert isinstance(bus, RabbitMqBus)
    await Feed(house.inbox(), bus._publisher).handle(arrived)
    await house.settled([event])
    assert await queue.get(fail=False) is None, "and the channel still answers"
    [letter] = await house.dead_letters().waiting([house.queue])
    assert "UUID" in letter.error
