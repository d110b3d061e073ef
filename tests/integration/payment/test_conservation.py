"""Promise I2 under everything at once: every faulty card, lost webhooks, impatient sweepers."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
import pytest

from cinesync.bank.model import BEHAVIOURS
from cinesync.chassis import clock
from cinesync.contracts.booking import BookingRefused
from cinesync.payment.reconciliation import audit_store
from cinesync.payment.reconciliation.provider_statement import reconcile
from cinesync.payment.refunds import service as refund_service
from tests.integration.payment.conftest import BuildBeside, MakeHarness, PaymentHarness, eventually
from tests.support.bank import BankClient

pytestmark = pytest.mark.slow

SEEDS = (1, 2)
ROUNDS = 3


async def shop_around(harness: PaymentHarness, chance: random.Random) -> list[dict[str, Any]]:
    """Every card a few times, all at once; card holders say yes or no."""
    tokens = [*BEHAVIOURS, "tok_down"] * ROUNDS
    chance.shuffle(tokens)
    answers = await asyncio.gather(*(harness.pay(token) for token in tokens))
    payments = [answer.json() for answer in answers]
    for payment in payments:
        if payment["confirm_url"] and chance.random() < 0.7:
            word = chance.choice(["yes", "no"])
            with suppress(httpx.HTTPError):
                await harness.bank.post(payment["confirm_url"], data={"answer": word})
    return payments


def refusal(payment: Any, cents: int) -> BookingRefused:
    return BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=UUID(str(payment.payment_id)),
        hold_id=payment.hold_id,
        customer_id=clock.new_id(),
        refund_cents=cents,
        currency="EUR",
        reason="seats_gone",
    )


async def all_decided(harness: PaymentHarness) -> bool | None:
    waiting = await harness.select(
        "SELECT payment_id FROM payments WHERE status = 'pending'"
        " UNION ALL SELECT refund_id FROM refunds WHERE status = 'pending'"
    )
    return True if not waiting else None


async def all_told(harness: PaymentHarness) -> bool | None:
    """The bank's last webhooks and ours agree: nothing is in flight any more."""
    result = await reconcile(harness.db, harness.gateway)
    return True if not result.in_flight and not result.troubles else None


@pytest.mark.parametrize("seed", SEEDS)
async def test_money_is_conserved_under_all_faults_at_once(
    seed: int,
    make_harness: MakeHarness,
    bank_client_without_webhooks: BankClient,
    build_beside: BuildBeside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(seed)
    harness = await make_harness(bank_client_without_webhooks)
    other = build_beside(harness, bank_client_without_webhooks)
    harness.holds.expires_in_seconds = 2.0
    receive_webhook = harness.post_webhook

    async def hard_of_hearing(headers: Mapping[str, str], body: bytes, **_: Any) -> httpx.Response:
        if chance.random() < 0.5:
            return httpx.Response(503)
        return await receive_webhook(headers, body)

    monkeypatch.setattr(harness, "post_webhook", hard_of_hearing)
    reconcilers = [asyncio.create_task(one.reconciler.run()) for one in (harness, other)]
    await shop_around(harness, chance)
    await eventually(lambda: all_decided(harness), "every payment is decided")
    paid = await harness.select("SELECT payment_id, hold_id FROM payments WHERE status = 'success'")
    refusals = [refusal(payment, chance.choice([1, 1000, 2400, 9999])) for payment in paid]
    await harness.db.run(refund_service.refund_bookings, refusals)
    await harness.db.run(
        refund_service.refund_bookings, chance.sample(refusals, len(refusals) // 2)
    )
    await eventually(lambda: all_told(harness), "the bank's books and ours agree")
    await eventually(lambda: all_decided(harness), "every refund is done")
    for reconciler in reconcilers:
        reconciler.cancel()
    await asyncio.gather(*reconcilers, return_exceptions=True)
    await assert_conserved(harness)


async def assert_conserved(harness: PaymentHarness) -> None:
    assert await harness.db.read(audit_store.contradictions, 10) == []
    result = await reconcile(harness.db, harness.gateway)
    assert (result.troubles, result.in_flight) == ([], [])
    money = await harness.db.read(audit_store.money_by_payment, None, 1000)
    assert sum(line.captured_cents for line in money) == result.captured_cents["EUR"]
    assert sum(line.refunded_cents for line in money) == result.refunded_cents["EUR"]
    assert all(0 <= line.retained_cents <= 2400 for line in money)
    assert all(line.retained_cents == 0 for line in money if line.status in {"failed", "refunded"})
    successes = await harness.events("payment.success")
    assert len({event["payment_id"] for event in successes}) == len(successes)
    refunds = await harness.events("payment.refunded")
    assert sum(event["amount_cents"] for event in refunds) == result.refunded_cents["EUR"]
