"""I4: entries that the ledger lacks, has twice, or has with other facts than the databases."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cinesync.audit import ledger
from cinesync.audit.results import Failed, NotMade, Passed
from cinesync.chassis import clock
from cinesync.pbft.log import RecordChain
from cinesync.pbft.messages import ConsensusBlock, Decided, Request, digest
from cinesync.validator import provisioning
from cinesync.validator.storage.journal import Journal
from tests.integration.audit.builders import AuditFixture, a_sale, hours_ago, operations

pytestmark = pytest.mark.slow


async def test_a_ledger_that_has_everything_as_it_was_is_passed(audited: AuditFixture) -> None:
    counted: list[int] = []
    outcome = await audited.outcome(ledger.check, counted)
    assert isinstance(outcome, Passed), outcome
    assert (outcome.seen, outcome.on_its_way) == ("10 entries in 1 blocks", "")


async def test_a_different_amount_in_the_ledger_is_found(audited: AuditFixture) -> None:
    paid, _ = audited.sales[2]
    change = "UPDATE payments SET amount_cents = 9900 WHERE payment_id = CAST(:id AS uuid)"
    await audited.change("payment", change, id=paid.payment_id)
    outcome = await audited.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    assert outcome.findings == (
        f"payment.success of {paid.payment_id}: the ledger has 2400 EUR by sandbox for hold"
        f" {paid.hold_id}, the database has 9900 EUR by sandbox for hold {paid.hold_id}",
    )


async def test_different_seats_in_the_ledger_are_found(audited: AuditFixture) -> None:
    _, booked = audited.sales[0]
    change = (
        "UPDATE bookings SET seats = CAST(replace(CAST(seats AS text), 'F0', 'G9') AS jsonb)"
        " WHERE booking_id = CAST(:id AS uuid)"
    )
    await audited.change("booking", change, id=booked.booking_id)
    outcome = await audited.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    assert "seats F0 F1, the database has" in outcome.findings[0]


async def test_a_seat_given_back_is_in_the_ledger_beside_its_booking(audited: AuditFixture) -> None:
    sale = audited.sales[1]
    _, booked = sale
    reduced = await audited.give_back(sale, booked.seats[0])
    outcome = await audited.outcome(ledger.check, is_running=False)
    assert isinstance(outcome, Failed)
    assert len(outcome.findings) == 1
    assert outcome.findings[0].startswith(f"booking.reduced of {reduced.reduction_id}")
    audited.grow(audited.genesis, [[reduced]])
    assert isinstance(await audited.outcome(ledger.check), Passed)
    change = "UPDATE booking_refunds SET refund_cents = 1 WHERE refund_id = CAST(:id AS uuid)"
    await audited.change("booking", change, id=reduced.reduction_id)
    outcome = await audited.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    assert "has 1200 EUR of booking" in outcome.findings[0]


async def test_failed_refunds_and_disputes_are_in_the_ledger_once_each(
    audited: AuditFixture,
) -> None:
    told = await audited.trouble(audited.sales[0])
    outcome = await audited.outcome(ledger.check, is_running=False)
    assert isinstance(outcome, Failed)
    assert sorted(finding.split(" is not ")[0] for finding in outcome.findings) == sorted(
        f"{event.name} of {event.event_id}" for event in told
    )
    audited.grow(audited.genesis, [told])
    assert isinstance(await audited.outcome(ledger.check), Passed)
    again = [replace(event, event_id=clock.new_id()) for event in told]
    audited.grow(audited.genesis, [again])
    outcome = await audited.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    assert sorted(outcome.findings) == sorted(
        f"{event.name} of {event.event_id} is in the ledger 1 times,"
        " but no database has a row for it"
        for event in again
    )


@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("refund_failures", "was_refunded = false", "after it was made, the database has"),
        ("dispute_changes", "status = 'won'", "inquiry, the database has"),
    ],
)
async def test_different_failures_and_disputes_in_the_ledger_are_found(
    audited: AuditFixture, table: str, change: str, says: str
) -> None:
    audited.grow(audited.genesis, [await audited.trouble(audited.sales[0])])
    await audited.change("payment", f"UPDATE {table} SET {change}")
    outcome = await audited.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    assert says in "; ".join(outcome.findings)


async def test_a_lost_entry_is_a_broken_promise(audited: AuditFixture) -> None:
    """Also in a stopped shop, and for ever."""
    lost = a_sale(hours_ago(1), 99)
    await audited.keep([lost])
    for is_running in (True, False):
        outcome = await audited.outcome(ledger.check, is_running=is_running)
        assert isinstance(outcome, Failed)
        assert [finding.split(" is ")[0] for finding in outcome.findings] == [
            f"payment.success of {lost[0].payment_id}",
            f"booking.confirmed of {lost[1].booking_id}",
        ]


async def test_recent_rows_may_be_on_their_way_while_the_shop_runs(audited: AuditFixture) -> None:
    await audited.keep([a_sale(clock.now(), 99)])
    running = await audited.outcome(ledger.check)
    assert isinstance(running, Passed)
    assert running.on_its_way == "2 entries are on their way"
    assert isinstance(await audited.outcome(ledger.check, overdue_seconds=0.0), Failed)
    assert isinstance(await audited.outcome(ledger.check, is_running=False), Failed)


async def test_entries_that_wait_long_leave_the_check_not_made(audited: AuditFixture) -> None:
    in_outbox, submitted = a_sale(hours_ago(2), 98), a_sale(hours_ago(1), 99)
    await audited.keep([in_outbox, submitted])
    await audited.leave_in_outbox(in_outbox)
    await audited.hand_to_submitter(submitted)
    for is_running in (True, False):
        outcome = await audited.outcome(ledger.check, is_running=is_running)
        assert isinstance(outcome, NotMade)
        assert "4 entries wait in an outbox and the ledger service" in outcome.reason
        assert f"{hours_ago(2):%Y-%m-%d %H}" in outcome.reason


async def test_what_a_quorum_decided_is_there_before_the_chains_file_has_it(
    audited: AuditFixture,
) -> None:
    decided = a_sale(hours_ago(1), 99)
    await audited.keep([decided])
    block = ConsensusBlock(0, (Request("ledger", 9, tuple(operations([decided]))),))
    proof = Decided(0, 0, 2, digest(block), (), block)
    journal = Journal(provisioning.validator_home(audited.folder, 1) / provisioning.JOURNAL_FILE)
    journal.write([RecordChain().encode(proof)], replace=True)
    journal.close()
    outcome = await audited.outcome(ledger.check, is_running=False)
    assert isinstance(outcome, Passed), outcome


async def test_double_entries_and_entries_without_a_row_are_found(empty: AuditFixture) -> None:
    known, unknown = a_sale(hours_ago(3)), a_sale(hours_ago(3), 1)
    again = known[0].__class__(
        **{name: getattr(known[0], name) for name in known[0].__struct_fields__}
        | {"event_id": clock.new_id(), "occurred_at": hours_ago(1)}
    )
    await empty.keep([known])
    empty.found([known, (again, known[1]), unknown])
    outcome = await empty.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    assert sorted(outcome.findings) == sorted(
        [
            f"payment.success of {known[0].payment_id} is in the ledger 2 times",
            f"payment.success of {unknown[0].payment_id} is in the ledger 1 times,"
            " but no database has a row for it",
            f"booking.confirmed of {unknown[1].booking_id} is in the ledger 1 times,"
            " but no database has a row for it",
        ]
    )


def harm(audited: AuditFixture, replica: int) -> None:
    path = provisioning.validator_home(audited.folder, replica) / provisioning.CHAIN_FILE
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET data = replace(data, '2400', '2500') WHERE idx = 2")


async def test_an_altered_replica_is_named_and_another_read(audited: AuditFixture) -> None:
    harm(audited, 0)
    outcome = await audited.outcome(ledger.check)
    assert isinstance(outcome, Failed)
    (finding,) = outcome.findings
    assert finding.startswith("replica 0: entries 0 to 9 of block 1: one was altered")


async def test_when_all_are_altered_the_promise_is_broken(audited: AuditFixture) -> None:
    for replica in range(4):
        harm(audited, replica)
    assert isinstance(await audited.outcome(ledger.check), Failed)


async def test_without_the_validators_disks_the_check_is_not_made(audited: AuditFixture) -> None:
    assert isinstance(await audited.outcome(ledger.check, ledger=None), NotMade)
    for replica in range(4):
        (provisioning.validator_home(audited.folder, replica) / provisioning.CHAIN_FILE).unlink()
    assert isinstance(await audited.outcome(ledger.check), NotMade)
    (audited.folder / provisioning.GENESIS_FILE).unlink()
    without = await audited.outcome(ledger.check)
    assert isinstance(without, NotMade)
    assert "genesis.json" in without.reason


async def test_entries_that_an_unconfigured_broker_may_have_are_not_lost(
    audited: AuditFixture,
) -> None:
    await audited.keep([a_sale(hours_ago(1), 99)])
    outcome = await audited.outcome(ledger.check, has_broker=True)
    assert isinstance(outcome, NotMade)
    assert "set RABBITMQ_URL" in outcome.reason


class FullBroker:
    """RabbitMQ with so many events for the ledger service."""

    def __init__(self, events: int | None) -> None:
        self.events = events

    async def waiting(self, queues: object) -> list[object]:
        del queues
        return []

    async def undelivered(self, queues: list[str]) -> int:
        assert queues == ["ledger.payment.success"]
        if self.events is None:
            raise ConnectionError("refused")
        return self.events


@pytest.mark.parametrize(
    ("events", "verdict"), [(2, NotMade), (None, NotMade), (0, Failed)], ids=str
)
async def test_entries_that_the_broker_may_deliver_are_not_lost(
    audited: AuditFixture, events: int | None, verdict: type[object]
) -> None:
    await audited.keep([a_sale(clock.now() - timedelta(hours=1), 99)])
    outcome = await audited.outcome(
        ledger.check,
        broker=FullBroker(events),
        queues=["booking.payment.success", "ledger.payment.success"],
    )
    assert isinstance(outcome, verdict)
