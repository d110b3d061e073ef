"""Whatever fails in a transaction, and wherever: its effects happen exactly once."""

from collections.abc import AsyncIterator, Sequence

import pytest

from cinesync.chassis.database import Database, Transaction, open_database
from cinesync.chassis.database import database as db_module
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.bus import EmbeddedBus
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.outbox import Relay
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.messaging.two_services import (
    Paid,
    Seen,
    make_chassis_database,
    message,
    paid,
    record,
    seen,
    select_effects,
    select_unsent,
)
from tests.support.portability.faults import APPLIED, Fault, Plan, every_fault, make_faulty

_count = 0


@pytest.fixture
async def faulty(postgres: Postgres) -> AsyncIterator[tuple[Database, Plan]]:
    """A database with the chassis' tables behind connections that fail as planned."""
    global _count  # noqa: PLW0603 databases need names
    _count += 1
    name = f"faulty_{_count}"
    await (await make_chassis_database(postgres, name)).close()
    db = open_database(postgres.url(name))
    plan = make_faulty(db)
    await db.ping()
    yield db, plan
    await db.close()


async def pay_and_tell(tx: Transaction, event: Paid) -> int:
    """A command like any other: a change, and the event that tells of it."""
    await record(tx, [event])
    await outbox.append(tx, [event])
    return event.amount


async def test_every_fault_at_every_statement_leaves_one_effect_and_one_event(
    faulty: tuple[Database, Plan],
) -> None:
    db, plan = faulty
    plan.arm(None)
    first = paid(0)
    assert await db.run(pay_and_tell, first) == 0
    statements = plan.statements
    assert statements == 3  # the commit marker, the effect, the event
    events = [first]
    for number, (fault, at) in enumerate(every_fault(statements), start=1):
        event = paid(number)
        plan.arm(fault, at)
        assert await db.run(pay_and_tell, event) == number
        assert plan.has_fired, f"{fault} never struck at {at}"
        events.append(event)
    plan.arm(None)
    expected = sorted(event.event_id for event in events)
    assert sorted(await db.read(select_effects)) == expected
    assert sorted(await db.read(select_unsent)) == expected


@pytest.mark.parametrize("fault", APPLIED)
async def test_without_the_commit_marker_a_lost_commit_happens_twice(
    faulty: tuple[Database, Plan], fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, plan = faulty

    monkeypatch.setattr(db_module, "MARKER_EXISTED", "never said")
    event = paid(1)

    async def only_the_effect(tx: Transaction) -> None:
        await record(tx, [event])

    plan.arm(fault)
    await db.run(only_the_effect)
    assert await db.read(select_effects) == [event.event_id] * 2


async def test_a_lost_commit_that_was_applied_does_not_run_the_command_again(
    faulty: tuple[Database, Plan],
) -> None:
    db, plan = faulty
    for fault in APPLIED:
        runs = 0

        async def count(tx: Transaction, event: Paid) -> int:
            nonlocal runs
            runs += 1
            await record(tx, [event])
            return runs

        plan.arm(fault)
        assert await db.run(count, paid(1)) == 1
        assert runs == 1


async def test_a_second_fault_while_recovering_from_the_first_changes_nothing(
    faulty: tuple[Database, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The insert of the commit marker fails too."""
    db, plan = faulty
    strikes = iter([Fault.UNKNOWN_APPLIED])
    monkeypatch.setattr(plan, "at_commit", lambda: next(strikes, None))
    looks = iter([None, None, None, Fault.LOSS, Fault.RETRY])
    monkeypatch.setattr(plan, "at_statement", lambda: next(looks, None))
    event = paid(1)
    assert await db.run(pay_and_tell, event) == 1
    assert next(looks, "all struck") == "all struck"
    assert await db.read(select_effects) == [event.event_id]


async def test_inbox_effect_and_outbox_are_one_under_every_fault(
    faulty: tuple[Database, Plan],
) -> None:
    db, plan = faulty

    async def handle(tx: Transaction, events: Sequence[Paid]) -> None:
        await record(tx, events)
        follow_ups = [seen(event.amount) for event in events]
        await outbox.append(tx, follow_ups)

    inbox = Inbox("till", Paid, handler=handle, db=db)
    plan.arm(None)
    events = [paid(0)]
    assert await inbox.handle([message(events[0])]) == {}
    for number, (fault, at) in enumerate(every_fault(plan.statements), start=1):
        event = paid(number)
        events.append(event)
        plan.arm(fault, at)
        assert await inbox.handle([message(event)]) == {}
        assert plan.has_fired
        # A bus that did not hear of the commit delivers again.
        assert await inbox.handle([message(event)]) == {}
    plan.arm(None)
    assert sorted(await db.read(select_effects)) == sorted(event.event_id for event in events)
    assert len(await db.read(select_unsent)) == len(events)


async def test_the_relay_delivers_under_every_fault_and_leaves_nothing_unsent(
    faulty: tuple[Database, Plan],
) -> None:
    db, plan = faulty
    told: list[int] = []
    bus = EmbeddedBus()
    bus.listen(Seen, lambda events: told.extend(event.amount for event in events))
    relay = Relay("shop", db, bus, "test")
    await relay.drain()
    plan.arm(None)
    await db.run(outbox.append, [seen(0)])
    await relay.drain()
    for number, (fault, at) in enumerate(every_fault(plan.statements), start=1):
        plan.arm(None)
        await db.run(outbox.append, [seen(number)])
        plan.arm(fault, at)
        while not await relay.drain():
            pass
        assert await db.read(select_unsent) == []
        assert number in told


async def test_a_read_is_retried_after_every_fault_at_its_statement(
    faulty: tuple[Database, Plan],
) -> None:
    db, plan = faulty
    for fault, at in ((Fault.RETRY, 1), (Fault.LOSS, 1)):
        plan.arm(fault, at)
        assert await db.read(select_effects) == []
        assert plan.has_fired
