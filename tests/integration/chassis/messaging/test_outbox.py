"""The outbox and its relay."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Database, Transaction, lease, text
from cinesync.chassis.messaging import event as events
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.bus import EmbeddedBus
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.outbox import Relay
from cinesync.chassis.problems import Unavailable
from tests.conftest import MakeDatabase
from tests.integration.chassis.toy.app import NoteTaken, count_notes, take_note
from tests.support.eventually import eventually


class ControlledBus(EmbeddedBus):
    """A bus that accepts all events but those in `refused`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[UUID]] = []
        self.accepted: list[UUID] = []
        self.refused: set[UUID] = set()
        self.outages = 0

    async def publish(self, messages: Sequence[Message]) -> set[UUID]:
        self.calls.append([m.event_id for m in messages])
        if self.outages:
            self.outages -= 1
            raise Unavailable("the bus is down")
        taken = [m.event_id for m in messages if m.event_id not in self.refused]
        self.accepted += taken
        return set(taken)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("tests.integration.chassis.toy")


def note(minutes: int = 0) -> NoteTaken:
    """An event; the earlier one is relayed first."""
    occurred_at = clock.now() + timedelta(minutes=minutes)
    return NoteTaken(
        event_id=clock.new_id(), occurred_at=occurred_at, note_id=clock.new_id(), words="hi"
    )


async def write(db: Database, *notes: NoteTaken) -> list[UUID]:
    await db.run(outbox.append, notes)
    return [event.event_id for event in notes]


async def test_an_event_is_committed_or_rolled_back_with_its_change(db: Database) -> None:
    async def change_of_mind(tx: Transaction) -> None:
        await take_note(tx, clock.new_id(), "never mind")
        raise ValueError("never mind")

    with pytest.raises(ValueError, match="never mind"):
        await db.run(change_of_mind)
    assert await db.read(outbox.unsent, 10) == []
    await db.run(take_note, clock.new_id(), "keep this")
    assert await db.read(count_notes) == len(await db.read(outbox.unsent, 10)) == 1


async def test_the_trace_goes_with_the_event_unless_it_has_one(db: Database) -> None:
    own = replace(note(), trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with telemetry.Tracing(""):
        here = telemetry.current_trace()
        await write(db, note(minutes=-1), own)
    first, second = await db.read(outbox.unsent, 10)
    assert events.decode(NoteTaken, first.body).trace == here
    assert events.decode(NoteTaken, second.body) == own


async def test_appending_nothing_wakes_no_relay(db: Database) -> None:
    woken: list[bool] = []
    db.on_events.append(lambda: woken.append(True))
    await db.run(outbox.append, [])
    assert woken == []
    await write(db, note())
    assert woken == [True]


async def test_events_are_relayed_oldest_first_and_once(db: Database) -> None:
    late, early = note(minutes=2), note(minutes=1)
    await write(db, late, early)
    bus = ControlledBus()
    relay = Relay("toy", db, bus, "me")
    assert await relay.drain() is True
    assert await relay.drain() is True
    assert bus.calls == [[early.event_id, late.event_id]]


async def test_what_commits_during_a_publish_is_published_at_once(db: Database) -> None:
    [first] = await write(db, note())
    meanwhile: list[UUID] = []

    class EmittingBus(ControlledBus):
        async def publish(self, messages: Sequence[Message]) -> set[UUID]:
            if not meanwhile:
                meanwhile.extend(await write(db, note()))
            return await super().publish(messages)

    bus = EmittingBus()
    assert await Relay("toy", db, bus, "me").drain() is True
    assert bus.calls == [[first], meanwhile]


async def test_a_refused_event_is_deferred_and_does_not_hold_up_others(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RELAY_BATCH_MAX", 2)
    poison, *others = await write(db, *(note(minutes=n) for n in range(5)))
    bus = ControlledBus()
    bus.refused = {poison}
    relay = Relay("toy", db, bus, "me")
    assert await relay.drain() is False
    assert bus.accepted == others
    assert [poison] == [m.event_id for m in await db.read(outbox.unsent, 10)]
    bus.refused.clear()

    async def delivered() -> bool:
        return await relay.drain()

    await eventually(delivered)
    assert bus.accepted == [*others, poison]


async def test_an_event_refused_again_is_deferred_for_longer(db: Database) -> None:
    (poison,) = await write(db, note())
    bus = ControlledBus()
    bus.refused = {poison}
    relay = Relay("toy", db, bus, "me")
    failures = []
    for calls in range(1, 4):

        async def refused(calls: int = calls) -> bool:
            await relay.drain()
            return len(bus.calls) >= calls

        await eventually(refused)
        failures.append(relay._deferred[poison][1])
    assert failures == [1, 2, 3], "which outbox.BACKOFF makes longer pauses of"


async def test_a_running_relay_wakes_at_commit_and_outlives_an_outage(db: Database) -> None:
    bus = ControlledBus()
    bus.outages = 2
    relay = Relay("toy", db, bus, "me")
    running = asyncio.create_task(relay.run())
    sent = await write(db, note())

    async def delivered() -> bool:
        return bus.accepted == sent

    await eventually(delivered)
    sent += await write(db, note())
    await eventually(delivered)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_running_relay_polls_for_what_did_not_wake_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "POLL_SECONDS_MAX", 0.01)
    bus = ControlledBus()
    running = asyncio.create_task(Relay("toy", db, bus, "me").run())
    db.on_events.clear()  # as a process that died between commit and wake
    sent = await write(db, note())

    async def delivered() -> bool:
        return bus.accepted == sent

    await eventually(delivered)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_only_the_owner_of_the_lease_relays_until_it_gives_it_back(
    db: Database,
) -> None:
    bus = ControlledBus()
    owner, other = Relay("toy", db, bus, "owner"), Relay("toy", db, bus, "other")
    await owner.drain()
    sent = await write(db, note())
    assert await other.drain() is True
    assert bus.calls == []
    await owner.close()
    await other.drain()
    assert bus.accepted == sent


async def test_a_relay_that_lost_its_lease_stops_between_batches(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RELAY_BATCH_MAX", 1)
    monkeypatch.setattr(outbox, "LEASE_RENEW_SECONDS", 0.0)
    await write(db, note(), note())

    class Thief(ControlledBus):
        async def publish(self, messages: Sequence[Message]) -> set[UUID]:
            await db.run(lease.give_back, "relay", "me")
            await db.run(lease.take, "relay", "thief")
            return await super().publish(messages)

    bus = Thief()
    assert await Relay("toy", db, bus, "me").drain() is True
    assert len(bus.accepted) == 1


async def test_a_relay_without_the_lease_tries_once_for_each_wake(db: Database) -> None:
    await db.run(lease.take, "relay", "owner", 3600)
    relay = Relay("toy", db, ControlledBus(), "other")
    await write(db, note())
    assert relay._wake.is_set()
    await relay.drain()
    assert not relay._wake.is_set(), "or it would try again and again"


async def test_rows_sent_long_ago_are_deleted_and_no_others(db: Database) -> None:
    old, fresh, unsent = await write(db, note(), note(), note())

    async def age(tx: Transaction) -> None:
        await outbox.mark_sent(tx, [old, fresh])
        await tx.execute(
            text(
                "UPDATE outbox SET sent_at = now() - interval '8 days'"
                " WHERE event_id = CAST(:id AS uuid)"
            ),
            {"id": old},
        )

    async def left(tx: Transaction) -> set[UUID]:
        return set((await tx.execute(text("SELECT event_id FROM outbox"))).scalars())

    await db.run(age)
    assert await db.run(outbox.delete_sent) == 1
    assert await db.read(left) == {fresh, unsent}


async def test_a_relay_polls_faster_while_another_process_writes(
    db: Database,
) -> None:
    relay = Relay("toy", db, ControlledBus(), "owner")
    rarely = relay.poll_seconds
    await db.run(outbox.append, [note()])
    await relay.drain()
    assert relay.poll_seconds == rarely, "its own commits wake it"
    db.on_events.clear()  # as if they were another's
    await db.run(outbox.append, [note()])
    await relay.drain()
    assert relay.poll_seconds == outbox.POLL_SECONDS_MIN
    while relay.poll_seconds < rarely:
        before = relay.poll_seconds
        await relay.drain()
        assert relay.poll_seconds > before
