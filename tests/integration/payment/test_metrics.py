"""Pending money is counted by currency, and refunds by how far they are."""

from prometheus_client import REGISTRY

from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, text
from cinesync.payment.metrics import measures
from tests.conftest import MakeDatabase

INSERT = (
    "INSERT INTO payments (payment_id, customer_id, idempotency_key, fingerprint, hold_id,"
    " hold_expires_at, provider, amount_cents, currency, status, charge_id, failure_reason,"
    " confirm_url, refund_asked_cents, refunded_cents, trace, created_at, checks, next_check_at,"
    " occupies_hold) VALUES (CAST(:id AS uuid), CAST(:id AS uuid), 'key', '', CAST(:id AS uuid),"
    " now(), 'sandbox', CAST(:amount AS bigint), 'EUR', 'pending', '', '', '', 0, 0, '',"
    " now() - interval '60 second', 0, now(), false)"
)


async def pending(tx: Transaction, amount: int) -> None:
    await tx.execute(text(INSERT), {"id": clock.new_id(), "amount": amount})


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_pending_payments_are_counted_and_forgotten(make_database: MakeDatabase) -> None:
    db = await make_database("cinesync.payment")
    for amount in (1200, 300):
        await db.run(pending, amount)
    found = measures(db)
    for measure in found:
        await measure()
    assert sample("cinesync_payments_pending", currency="EUR") == 2
    assert sample("cinesync_payments_pending_minor_units", currency="EUR") == 1500
    assert sample("cinesync_payments_pending_oldest_seconds", currency="EUR") >= 60
    assert sample("cinesync_refunds_pending", status="pending") == 0

    async def settle(tx: Transaction) -> None:
        await tx.execute(text("UPDATE payments SET status = 'failed' WHERE status = 'pending'"))

    await db.run(settle)
    for measure in found:
        await measure()
    assert sample("cinesync_payments_pending", currency="EUR") == 0
