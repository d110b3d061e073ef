"""Migrations 0006 and 0007: refunds and disputes whose events were published before."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, migrations, open_database, text
from cinesync.chassis.messaging import outbox
from cinesync.contracts.payment import PaymentDisputed, PaymentRefundFailed
from cinesync.supervisor.postgres import Postgres

PACKAGE = "cinesync.payment.migrations"
PAYMENT, REFUND, DISPUTE = (UUID(int=number) for number in (1, 2, 3))
ROWS = (
    "INSERT INTO payments (payment_id, customer_id, idempotency_key, fingerprint, hold_id,"
    " hold_expires_at, provider, amount_cents, currency, status, trace, next_check_at)"
    f" VALUES ('{PAYMENT}', '{PAYMENT}', 'k', 'f', '{PAYMENT}', now(), 'stripe', 100, 'EUR',"
    " 'success', '', now())",
    "INSERT INTO refunds (refund_id, source, payment_id, provider, charge_id, amount_cents,"
    f" currency, reason, surplus, status) VALUES ('{REFUND}', 's', '{PAYMENT}', 'stripe', 'c', 100,"
    " 'EUR', 'staff', false, 'failed')",
    "INSERT INTO disputes (dispute_id, payment_id, provider, provider_dispute_id, charge_id,"
    f" amount_cents, currency, status, reason) VALUES ('{DISPUTE}', '{PAYMENT}', 'stripe', 'd',"
    " 'c', 100, 'EUR', 'open', 'fraudulent')",
)


@pytest.fixture
async def db(postgres: Postgres) -> AsyncIterator[Database]:
    """As it was before there were these rows."""
    opened = open_database(postgres.url("payment_of_before"))
    await migrations.create_if_missing(opened)
    await migrations.upgrade_to(opened.url, PACKAGE, "0005")
    yield opened
    await opened.close()


async def execute(tx: Transaction, statement: str) -> list[Any]:
    return list(await tx.execute(text(statement)))


async def test_what_the_outbox_still_has_becomes_rows_once(db: Database) -> None:
    common: dict[str, Any] = {
        "occurred_at": clock.now(),
        "payment_id": PAYMENT,
        "hold_id": PAYMENT,
        "customer_id": PAYMENT,
        "amount_cents": 100,
        "currency": "EUR",
        "reason": "x",
    }
    failed = PaymentRefundFailed(
        event_id=clock.new_id(), refund_id=REFUND, surplus=False, was_refunded=True, **common
    )
    disputed = [
        PaymentDisputed(event_id=clock.new_id(), dispute_id=DISPUTE, status=status, **common)
        for status in ("inquiry", "open")
    ]
    for statement in ROWS:
        await db.run(execute, statement)
    await db.run(outbox.append, [failed, *disputed])
    await migrations.upgrade_to(db.url, PACKAGE, "0007")
    await db.run(execute, "UPDATE alembic_version SET version_num = '0006'")  # it was interrupted
    await migrations.upgrade_to(db.url, PACKAGE, "0007")
    [failure] = await db.run(execute, "SELECT event_id, was_refunded FROM refund_failures")
    assert tuple(failure) == (failed.event_id, True)
    changes = await db.run(execute, "SELECT event_id, status FROM dispute_changes ORDER BY status")
    assert [tuple(row) for row in changes] == [(one.event_id, one.status) for one in disputed]
