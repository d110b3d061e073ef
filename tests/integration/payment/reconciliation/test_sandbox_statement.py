"""What an auditor sees: that the books are whole, and each way in which they could not be."""

from uuid import UUID

import pytest

from cinesync.chassis import clock
from cinesync.contracts.booking import BookingRefused
from cinesync.payment.reconciliation import audit_store, provider_statement
from cinesync.payment.reconciliation.provider_statement import Reconciliation, reconcile
from cinesync.payment.refunds import service as refund_service
from tests.integration.payment.conftest import MakeHarness, PaymentHarness
from tests.integration.payment.webhooks import webhook
from tests.support.bank import BankClient

pytestmark = pytest.mark.slow


@pytest.fixture
async def own_harness(
    make_harness: MakeHarness, bank_client_without_webhooks: BankClient
) -> PaymentHarness:
    """Beside a bank that serves nobody else."""
    return await make_harness(bank_client_without_webhooks)


async def reconciled(harness: PaymentHarness) -> Reconciliation:
    return await reconcile(harness.db, harness.gateway)


async def refuse(harness: PaymentHarness, payment: dict[str, str], cents: int = 2400) -> None:
    event = BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=UUID(payment["payment_id"]),
        hold_id=UUID(payment["hold_id"]),
        customer_id=harness.customer_id,
        refund_cents=cents,
        currency="EUR",
        reason="seats_gone",
    )
    await harness.db.run(refund_service.refund_bookings, [event])


async def test_the_banks_statement_agrees(
    own_harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("tok_approve", "tok_decline", "tok_approve", "tok_down"):
        last = (await own_harness.pay(token)).json()
        if token == "tok_approve":
            await refuse(own_harness, last, cents=400)
    await own_harness.refund_all()
    assert await reconciled(own_harness) == Reconciliation(
        captured_cents={"EUR": 4800}, refunded_cents={"EUR": 800}
    )


async def test_undecided_money_is_no_trouble(
    own_harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own_harness.pay("tok_timeout_then_success")
    result = await reconciled(own_harness)
    assert (len(result.in_flight), result.troubles) == (1, [])
    await own_harness.reconciler.poll_once()
    assert (await reconciled(own_harness)).in_flight == []


async def test_a_refund_not_yet_counted_is_in_flight(own_harness: PaymentHarness) -> None:
    await refuse(own_harness, (await own_harness.pay()).json())
    await own_harness.refund_all()
    await own_harness.change("UPDATE refunds SET status = 'pending'")
    result = await reconciled(own_harness)
    assert (len(result.in_flight), result.troubles) == (1, [])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM captures", "is not in our books"),
        ("UPDATE captures SET amount_cents = 1", "but our books say 1"),
        ("UPDATE captures SET charge_id = 'ch_invented'", "is not on the provider's statement"),
    ],
)
async def test_every_difference_is_found(
    own_harness: PaymentHarness, damage: str, said: str
) -> None:
    await own_harness.pay()
    assert (await reconciled(own_harness)).troubles == []
    await own_harness.change(damage)
    troubles = (await reconciled(own_harness)).troubles
    assert [trouble for trouble in troubles if said in trouble]


async def test_only_the_first_troubles_are_listed(
    own_harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_statement, "TROUBLES_MAX", 2)
    for _ in range(4):
        await own_harness.pay()
    await own_harness.change("UPDATE captures SET amount_cents = 1")
    assert len((await reconciled(own_harness)).troubles) == 2


async def test_the_totals_of_each_payment_add_up(harness: PaymentHarness) -> None:
    plain = (await harness.pay()).json()
    partly = (await harness.pay()).json()
    failed = (await harness.pay("tok_decline")).json()
    doubled = (await harness.pay("tok_down")).json()
    await harness.post_webhook(*webhook(doubled["payment_id"], f"ch_{doubled['payment_id']}"))
    await harness.post_webhook(*webhook(doubled["payment_id"], f"ch2_{doubled['payment_id']}"))
    await refuse(harness, partly, cents=1000)
    lines = await harness.db.read(audit_store.money_by_payment, None, 100)
    seen = {
        str(line.payment_id): (line.captured_cents, line.refund_pending_cents, line.retained_cents)
        for line in lines
    }
    assert seen == {
        plain["payment_id"]: (2400, 0, 2400),
        partly["payment_id"]: (2400, 1000, 1400),
        failed["payment_id"]: (0, 0, 0),
        doubled["payment_id"]: (4800, 2400, 2400),
    }
    pages = []
    after = None
    while page := await harness.db.read(audit_store.money_by_payment, after, 3):
        pages += page
        after = page[-1].payment_id
    assert pages == lines


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM captures",
        "UPDATE captures SET amount_cents = amount_cents + 1",
        "UPDATE captures SET surplus = true",
        "DELETE FROM refunds",
        "UPDATE refunds SET status = 'pending'",
        "UPDATE payments SET status = 'failed'",
        "UPDATE payments SET refunded_cents = 0",
        "UPDATE payments SET refund_asked_cents = 2400",
    ],
)
async def test_every_contradiction_is_found(harness: PaymentHarness, damage: str) -> None:
    payment = (await harness.pay()).json()
    await refuse(harness, payment, cents=1000)
    await harness.refund_all()
    assert await harness.db.read(audit_store.contradictions, 10) == []
    await harness.change(damage)
    (found,) = await harness.db.read(audit_store.contradictions, 10)
    assert payment["payment_id"] in found
