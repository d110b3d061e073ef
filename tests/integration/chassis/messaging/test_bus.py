"""Both buses keep one promise: at least once on the way, exactly once in effect."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import pytest

from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import inbox as inbox_module
from cinesync.chassis.messaging.event import Message
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


async def test_every_event_takes_effect_exactly_once(services: TwoServices) -> None:
    services.relay(await services.open_bus())
    events = [paid(n) for n in range(300)]
    for start in range(0, 300, 30):
        await services.emit(events[start : start + 30])
    await services.wait_until_handled(events)


async def test_an_event_delivered_three_times_takes_effect_once(services: TwoServices) -> None:
    bus = await services.open_bus()
    event = paid(1)
    for _ in range(3):
        assert await bus.publish([message(event)]) == {event.event_id}
    last = paid(2)
    await bus.publish([message(last)])
    await services.wait_until_handled([event, last])


async def test_without_the_inbox_a_double_delivery_is_a_double_effect(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def everything_is_fresh(tx: Transaction, queue: str, ids: Sequence[UUID]) -> set[UUID]:
        return set(ids)

    monkeypatch.setattr(inbox_module, "insert_new", everything_is_fresh)
    bus = await services.open_bus()
    event = paid(1)
    for _ in range(2):
        await bus.publish([message(event)])

    async def twice() -> bool:
        return await services.effects() == [event.event_id] * 2

    await eventually(twice)


async def test_events_out_of_order_all_take_effect(services: TwoServices) -> None:
    bus = await services.open_bus()
    events = [paid(n) for n in range(50)]
    shuffled = random.sample(events, len(events))
    for event in shuffled:
        assert await bus.publish([message(event)])
    await services.wait_until_handled(events)


async def test_what_waited_is_handled_in_batches_up_to_the_prefetch(services: TwoServices) -> None:
    sizes: list[int] = []

    async def measure(tx: Transaction, events: Sequence[Paid]) -> None:
        sizes.append(len(events))
        await record(tx, events)

    await (await services.open_bus()).close()
    events = [paid(n) for n in range(120)]
    if services.broker is None:
        bus = await services.open_bus(measure)
        await bus.publish([message(event) for event in events])
    else:
        publisher = services.make_bus()
        await services.start(publisher)
        await publisher.publish([message(event) for event in events])
        await services.open_bus(measure, prefetch=40)
    await services.wait_until_handled(events)
    assert max(sizes) > 1
    assert max(sizes) <= (120 if services.broker is None else 40)


async def test_a_poison_message_fails_alone(services: TwoServices) -> None:
    services.relay(await services.open_bus())
    good = [paid(n) for n in range(20)]
    bad = paid(-1)
    await services.emit([*good[:10], bad, *good[10:]])
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return len(await letters.waiting([services.queue])) == 1

    await eventually(is_dead)
    await services.wait_until_handled(good)
    [letter] = await letters.waiting([services.queue])
    assert (letter.queue, letter.event_id, letter.name) == (
        services.queue,
        bad.event_id,
        "test.paid",
    )
    assert letter.body == message(bad).body
    assert "Poison" in letter.error
    assert letter.died_at is not None


async def test_a_dead_letter_replayed_after_the_repair_takes_effect_once(
    services: TwoServices,
) -> None:
    broken = True

    async def handler(tx: Transaction, events: Sequence[Paid]) -> None:
        if broken:
            raise Poison
        await record(tx, events)

    bus = await services.open_bus(handler)
    services.relay(bus)
    if services.broker is None:
        services.relay_consumer(bus)
    events = [paid(1), paid(2)]
    await services.emit(events)
    letters = services.dead_letters()

    async def both_dead() -> bool:
        return len(await letters.waiting([services.queue])) == 2

    await eventually(both_dead)
    broken = False
    assert await letters.replay(services.queue, [events[0].event_id]) == 1
    await services.wait_until_handled(events[:1])
    assert [x.event_id for x in await letters.waiting([services.queue])] == [events[1].event_id]
    assert await letters.replay(services.queue) == 1
    await services.wait_until_handled(events)
    assert await letters.waiting([services.queue]) == []
    assert await letters.replay(services.queue) == 0


async def test_an_unreadable_message_is_a_dead_letter(services: TwoServices) -> None:
    bus = await services.open_bus()
    event = paid(1)
    rubbish = Message(paid(2).event_id, Paid.name, b"not an event")
    for _ in range(5):  # the embedded bus is asked again by its relay
        await bus.publish([rubbish, message(event)])
    letters = services.dead_letters()

    async def is_dead() -> bool:
        return bool(await letters.waiting([services.queue]))

    await eventually(is_dead)
    assert {x.event_id for x in await letters.waiting([services.queue])} == {rubbish.event_id}
    await services.wait_until_handled([event])


async def test_listeners_run_in_every_process_and_their_errors_stop_nothing(
    services: TwoServices,
) -> None:
    heard: list[tuple[str, int]] = []

    def listener(ear: str, events: Sequence[Seen]) -> None:
        heard.extend((ear, event.amount) for event in events)
        raise Poison

    buses = [services.make_bus() for _ in range(1 if services.broker is None else 2)]
    for number, bus in enumerate(buses):
        bus.listen(Seen, partial(listener, f"ear{number}"))
        bus.subscribe(services.inbox())
        await services.start(bus)
    events = [seen(7), paid(1)]
    assert len(await buses[0].publish([message(event) for event in events])) == 2
    await services.wait_until_handled(events[1:])

    async def all_heard() -> bool:
        return sorted(heard) == [(f"ear{number}", 7) for number in range(len(buses))]

    await eventually(all_heard)


async def test_close_lets_the_running_batch_finish(services: TwoServices) -> None:
    running, may_end = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction, events: Sequence[Paid]) -> None:
        running.set()
        await may_end.wait()
        await record(tx, events)

    bus = await services.open_bus(slow)
    event = paid(1)
    publishing = asyncio.create_task(bus.publish([message(event)]))
    await running.wait()
    closing = asyncio.create_task(bus.close())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    await publishing
    assert await services.effects() == [event.event_id]
    # Nothing is left for the next one.
    again = await services.open_bus()
    last = paid(2)
    await again.publish([message(last)])
    await services.wait_until_handled([event, last])
