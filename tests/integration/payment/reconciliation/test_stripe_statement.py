"""Our books beside Stripe's balance transactions: every difference by name, page by page."""

from typing import Any

import pytest

from cinesync.payment.gateways import LineKind
from cinesync.payment.gateways.stripe_lifecycle import line_of
from cinesync.payment.reconciliation import provider_statement, statement_store
from cinesync.payment.reconciliation.provider_statement import Reconciliation, reconcile
from tests.integration.payment.refunds import test_provider_refunds
from tests.integration.payment.refunds.test_provider_refunds import StripeShop

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
shop = test_provider_refunds.shop


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cinesync.payment.gateways.stripe.PAGE_MAX", 2)
    monkeypatch.setattr(statement_store, "PAGE_ROWS", 2)


async def compared(shop: StripeShop) -> Reconciliation:
    return await reconcile(shop.harness.db, shop.gateway)


async def refunded(shop: StripeShop, cents: int = 1000) -> dict[str, Any]:
    payment, _ = await shop.paid()
    await shop.cancel(payment, cents)
    await shop.reconciler.refund_once()
    return payment


async def test_the_statement_agrees_after_refunds_and_disputes_of_every_kind(
    shop: StripeShop,
) -> None:
    await shop.paid()
    await refunded(shop)
    # Given back by hand.
    _, intent = await shop.paid()
    await shop.receive_webhook("refund.created", shop.stripe.refund_in_dashboard(intent, 500))
    # A refund that a bank returned.
    await refunded(shop, 700)
    name = list(shop.stripe.refunds)[-1]
    await shop.receive_webhook("refund.failed", shop.stripe.move_refund(name, "failed"))
    # Disputes: lost, won, and one by hand that failed and was never heard of.
    for ending in ("lost", "won"):
        _, intent = await shop.paid()
        await shop.receive_webhook(
            "charge.dispute.created", shop.stripe.dispute(intent, "needs_response")
        )
        await shop.receive_webhook("charge.dispute.closed", shop.stripe.dispute(intent, ending))
    _, intent = await shop.paid()
    unheard = shop.stripe.refund_in_dashboard(intent, 100)
    shop.stripe.move_refund(unheard["id"], "failed")
    result = await compared(shop)
    assert (result.troubles, result.in_flight) == ([], [])
    assert result.captured_cents == {"EUR": 7 * 2400}
    assert result.refunded_cents == {"EUR": 1500}


async def test_other_movements_and_other_systems_are_passed_over(shop: StripeShop) -> None:
    await shop.paid()
    foreign = {
        "id": "ch_foreign",
        "object": "charge",
        "amount": 5,
        "amount_captured": 5,
        "currency": "eur",
        "payment_intent": "pi_foreign",
        "metadata": {"order": "7"},
    }
    shop.stripe.moved("charge", 5, foreign)
    refund = foreign | {"id": "re_foreign", "object": "refund"}
    shop.stripe.moved("refund", -5, refund)
    shop.stripe.moved("adjustment", -5, foreign | {"id": "dp_foreign", "object": "dispute"})
    shop.stripe.moved("payout", -2400, {"id": "po_1", "object": "payout"})
    shop.stripe.moved("stripe_fee", -30, None)
    shop.stripe.moved("charge", 5, foreign | {"currency": "zzz"})
    result = await compared(shop)
    assert (result.troubles, result.foreign_count) == ([], 3)
    assert result.captured_cents == {"EUR": 2400}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE captures SET amount_cents = 1", ": 2400 EUR, but our books say 1 EUR"),
        ("UPDATE captures SET currency = 'USD'", ": 2400 EUR, but our books say 2400 USD"),
        ("UPDATE refunds SET amount_cents = 1", ": 1000 EUR, but our books say 1 EUR"),
        ("UPDATE refunds SET currency = 'USD'", ": 1000 EUR, but our books say 1000 USD"),
        ("DELETE FROM captures", "capture {intent} of payment {payment}: 2400 EUR is not in our"),
        ("DELETE FROM refunds", "refund {refund}: 1000 EUR is not in our books"),
        (
            "UPDATE captures SET charge_id = 'pi_invented'",
            "capture pi_invented of payment {payment}: 2400 EUR is not on the provider's",
        ),
        (
            "INSERT INTO refunds (refund_id, source, payment_id, provider, charge_id,"
            " amount_cents, currency, reason, surplus, status, done_at) SELECT"
            " '00000000-0000-0000-0000-000000000001', 'x', payment_id, provider, charge_id, 9,"
            " currency, 'x', false, 'done', now() FROM captures",
            "of payment {payment}: 9 EUR is not on the provider's statement",
        ),
        ("UPDATE refunds SET status = 'failed'", "is failed here, but on the provider's"),
        ("UPDATE refunds SET status = 'cancelled'", "is cancelled here, but on the provider's"),
    ],
)
async def test_every_difference_is_named(shop: StripeShop, damage: str, said: str) -> None:
    payment = await refunded(shop)
    (intent,), (refund,) = shop.stripe.intents, shop.stripe.refunds
    assert (await compared(shop)).troubles == []
    await shop.harness.change(damage)
    troubles = (await compared(shop)).troubles
    wanted = said.format(intent=intent, refund=refund, payment=payment["payment_id"])
    assert [trouble for trouble in troubles if wanted in trouble], troubles


async def test_a_dispute_that_is_won_here_alone_is_a_difference(shop: StripeShop) -> None:
    _, intent = await shop.paid()
    await shop.receive_webhook(
        "charge.dispute.created", shop.stripe.dispute(intent, "needs_response")
    )
    result = await compared(shop)
    assert (result.troubles, result.in_flight_count) == ([], 1)
    await shop.harness.change("UPDATE disputes SET status = 'won'")
    (trouble,) = (await compared(shop)).troubles
    assert "is won here, but the provider has the money" in trouble
    await shop.harness.change("DELETE FROM dispute_changes")
    await shop.harness.change("DELETE FROM disputes")
    (trouble,) = (await compared(shop)).troubles
    assert trouble.startswith("dispute dp_")


async def test_undecided_money_is_in_flight_and_no_difference(shop: StripeShop) -> None:
    slow = await shop.harness.pay("pm_card_slow", provider="stripe")
    assert slow.json()["status"] == "pending"
    (intent,) = shop.stripe.intents
    shop.stripe.capture(intent)  # and we have not heard of it
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    shop.stripe.refund_status = "pending"
    await shop.reconciler.refund_once()
    result = await compared(shop)
    assert result.troubles == []
    assert [said.rpartition(" is ")[2] for said in result.in_flight] == [
        "not in our books yet",
        "submitted here",
    ]


async def test_refunds_from_before_their_provider_names_were_kept_agree(shop: StripeShop) -> None:
    await refunded(shop)
    await shop.harness.change("UPDATE refunds SET provider_refund_id = '', changed_at = NULL")
    assert (await compared(shop)).troubles == []


async def test_all_differences_are_counted_and_the_first_are_listed(
    shop: StripeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_statement, "TROUBLES_MAX", 2)
    for _ in range(5):
        await shop.paid()
    await shop.harness.change("UPDATE captures SET amount_cents = 1")
    read: list[int] = []
    result = await reconcile(shop.harness.db, shop.gateway, read.append)
    assert (len(result.troubles), result.trouble_count) == (2, 5)
    assert read == [2, 4, 5], "page by page"


def test_an_amount_is_the_sources_whatever_the_account_is_kept_in() -> None:
    source = {
        "id": "ch_1",
        "object": "charge",
        "amount": 1500,
        "amount_captured": 1500,
        "currency": "isk",
        "payment_intent": {"id": "pi_1"},
        "metadata": {},
    }
    line = line_of({"type": "charge", "amount": 11, "currency": "usd", "source": source})
    assert line is not None
    assert (line.kind, line.entry_id, line.amount_cents, line.currency) == (
        LineKind.CAPTURE,
        "pi_1",
        15,
        "ISK",
    )
