"""The Stripe gateway: against a stand-in that remembers, and Stripe's own mock."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cinesync.chassis import clock
from cinesync.payment.context import PaymentContext
from cinesync.payment.gateways import ChargeOrder, GatewayAway, GatewayRefused
from cinesync.payment.gateways.stripe import StripeGateway, open_stripe
from cinesync.payment.model import (
    BadNotice,
    BadSignature,
    ChargeEvent,
    ChargeState,
    Payment,
    PaymentStatus,
    ProviderCharge,
    Refund,
)
from cinesync.payment.payment_processor import PaymentProcessor
from cinesync.supervisor.ports import free_port
from tests.conftest import MakeClient
from tests.integration.payment.conftest import (
    RETRY_POLICY,
    PaymentHarness,
    open_holds,
    payment_routers,
)
from tests.integration.payment.stripe_stand_in import (
    WEBHOOK_SECRET,
    StripeStandIn,
    signed,
    stripe_stand_in,
)
from tests.support.needs import need

# The SDK hands its form to httpx in a way that httpx no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    async with stripe_stand_in() as one:
        yield one


@pytest.fixture
async def gateway(stand_in: StripeStandIn) -> AsyncIterator[StripeGateway]:
    one = open_stripe("sk_test_1", WEBHOOK_SECRET, api_url=stand_in.url, timeout_seconds=5)
    yield one
    await one.close()


def order(token: str = "pm_card_visa", **other: Any) -> ChargeOrder:
    given: dict[str, Any] = {"payment_id": clock.new_id(), "amount_cents": 2400, "currency": "EUR"}
    return ChargeOrder(token=token, **(given | other))


def payment_of(asked: ChargeOrder, charge_id: str = "") -> Payment:
    return Payment(
        payment_id=asked.payment_id,
        customer_id=clock.new_id(),
        hold_id=clock.new_id(),
        provider="stripe",
        amount_cents=asked.amount_cents,
        currency=asked.currency,
        status=PaymentStatus.PENDING,
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        charge_id=charge_id,
    )


def refund_of(charge: ProviderCharge, cents: int = 1000) -> Refund:
    return Refund(
        refund_id=clock.new_id(),
        source="event:1",
        payment_id=clock.new_id(),
        provider="stripe",
        charge_id=charge.charge_id,
        amount_cents=cents,
        currency="EUR",
        reason="customer",
    )


async def test_a_card_is_charged_once_per_payment(
    gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    asked = order()
    charges = [await gateway.charge(asked) for _ in range(2)]
    assert charges[0] == charges[1]
    assert (charges[0].state, charges[0].amount_cents, charges[0].currency) == (
        ChargeState.CAPTURED,
        2400,
        "EUR",
    )
    assert len(stand_in.intents) == 1
    assert stand_in.requests[0][1]["idempotency-key"] == str(asked.payment_id)


async def test_a_declined_card_says_why(gateway: StripeGateway) -> None:
    charge = await gateway.charge(order("pm_card_chargeDeclined"))
    assert (charge.state, charge.reason) == (ChargeState.DECLINED, "generic_decline")
    assert charge.charge_id.startswith("pi_")


async def test_a_card_that_wants_confirmation_sends_its_holder_there(
    gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    asked = order("pm_card_authenticationRequired", return_url="https://shop.example/done")
    charge = await gateway.charge(asked)
    assert (charge.state, charge.confirm_url) == (ChargeState.WAITING, "https://bank.example/3ds")
    assert stand_in.intents[charge.charge_id]["return_url"] == "https://shop.example/done"


async def test_an_unknown_card_is_refused_outright(gateway: StripeGateway) -> None:
    with pytest.raises(GatewayRefused, match="resource_missing"):
        await gateway.charge(order("pm_unheard_of"))


async def test_trouble_at_stripe_is_no_answer(
    gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    stand_in.broken = True
    with pytest.raises(GatewayAway):
        await gateway.charge(order())


async def test_a_payment_is_found_by_its_charge_or_by_its_own_name(gateway: StripeGateway) -> None:
    asked = order("pm_card_slow")
    charge = await gateway.charge(asked)
    assert charge.state is ChargeState.WAITING
    assert await gateway.find(payment_of(asked, charge.charge_id)) == [charge]
    assert await gateway.find(payment_of(asked)) == [charge]
    assert await gateway.find(payment_of(order())) == []


async def test_a_waiting_charge_can_be_given_up_but_not_a_captured_one(
    gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    waiting = await gateway.charge(order("pm_card_authenticationRequired"))
    given_up = await gateway.cancel(waiting)
    assert (given_up.state, given_up.reason) == (ChargeState.DECLINED, "canceled")
    slow = await gateway.charge(order("pm_card_slow"))
    stand_in.capture(slow.charge_id)
    assert (await gateway.cancel(slow)).state is ChargeState.CAPTURED


async def test_a_refund_is_made_once_and_never_exceeds_its_charge(
    gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    charge = await gateway.charge(order())
    refund = refund_of(charge)
    await gateway.refund(refund)
    await gateway.refund(refund)
    assert [made["amount"] for made in stand_in.refunds.values()] == [1000]
    with pytest.raises(GatewayRefused, match="charge_already_refunded"):
        await gateway.refund(refund_of(charge, 1401))


async def test_webhooks_carry_stripes_own_signature(
    gateway: StripeGateway, stand_in: StripeStandIn
) -> None:
    asked = order()
    charge = await gateway.charge(asked)
    intent = stand_in.intents[charge.charge_id]
    headers, body = signed("payment_intent.succeeded", intent)
    event = gateway.read_webhook(body, headers)
    assert isinstance(event, ChargeEvent)
    assert event.report.payment_id == asked.payment_id
    assert event.report.charges == [charge]
    for forged_headers, forged_body in (
        ({}, body),
        (headers, body + b" "),
        ({"stripe-signature": "t=1,v1=00"}, body),
    ):
        with pytest.raises(BadSignature):
            gateway.read_webhook(forged_body, forged_headers)


async def test_other_peoples_intents_and_other_events_are_not_ours(gateway: StripeGateway) -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "metadata": {}}
    headers, body = signed("payment_intent.succeeded", intent)
    assert gateway.read_webhook(body, headers) is None
    headers, body = signed("charge.succeeded", {"id": "ch_1", "object": "charge"})
    assert gateway.read_webhook(body, headers) is None


async def test_a_webhook_decides_a_payment_through_stripe(
    harness: PaymentHarness,
    gateway: StripeGateway,
    stand_in: StripeStandIn,
    make_client: MakeClient,
) -> None:
    processor = PaymentProcessor(
        harness.db, {"stripe": gateway}, open_holds(harness.holds), RETRY_POLICY
    )
    harness.client = make_client(
        "payment", payment_routers(PaymentContext(harness.db, processor, ""))
    )
    answer = await harness.pay("pm_card_slow", provider="stripe")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    (name,) = stand_in.intents
    webhook = signed("payment_intent.succeeded", stand_in.capture(name))
    for _ in range(2):
        assert (await harness.post_webhook(*webhook, provider="stripe")).status_code == 204
    assert (await harness.payment(answer.json()["payment_id"]))["status"] == "success"
    assert len(await harness.events("payment.success")) == 1
    await processor.close()


async def test_created_decides_nothing_and_success_after_it_is_no_surplus(
    harness: PaymentHarness,
    gateway: StripeGateway,
    stand_in: StripeStandIn,
    make_client: MakeClient,
) -> None:
    processor = PaymentProcessor(
        harness.db, {"stripe": gateway}, open_holds(harness.holds), RETRY_POLICY
    )
    harness.client = make_client(
        "payment", payment_routers(PaymentContext(harness.db, processor, ""))
    )
    payment_id = (await harness.pay("pm_card_slow", provider="stripe")).json()["payment_id"]
    (name,) = stand_in.intents
    as_created = stand_in.intents[name] | {"status": "requires_payment_method"}
    for event_type in ("payment_intent.created", "payment_intent.requires_action"):
        webhook = signed(event_type, as_created)
        assert (await harness.post_webhook(*webhook, provider="stripe")).status_code == 204
    assert (await harness.payment(payment_id))["status"] == "pending"
    webhook = signed("payment_intent.succeeded", stand_in.capture(name))
    await harness.post_webhook(*webhook, provider="stripe")
    assert (await harness.payment(payment_id))["status"] == "success"
    assert await harness.select("SELECT refund_id FROM refunds") == []
    await processor.close()


@pytest.mark.parametrize(
    "metadata", [{}, {"order": "7"}, {"payment_id": "7"}, {"payment_id": str(clock.new_id())}]
)
async def test_another_systems_events_are_acknowledged(
    harness: PaymentHarness,
    gateway: StripeGateway,
    make_client: MakeClient,
    metadata: dict[str, str],
) -> None:
    processor = PaymentProcessor(
        harness.db, {"stripe": gateway}, open_holds(harness.holds), RETRY_POLICY
    )
    harness.client = make_client(
        "payment", payment_routers(PaymentContext(harness.db, processor, ""))
    )
    intent = {
        "id": "pi_foreign",
        "amount": 1,
        "amount_received": 1,
        "currency": "eur",
        "status": "succeeded",
        "metadata": metadata,
    }
    webhook = signed("payment_intent.succeeded", intent)
    assert (await harness.post_webhook(*webhook, provider="stripe")).status_code == 204
    assert await harness.select("SELECT charge_id FROM captures") == []
    await processor.close()


async def test_a_signed_event_that_makes_no_sense_is_the_senders_mistake(
    gateway: StripeGateway,
) -> None:
    broken = {"id": "pi_1", "metadata": {"payment_id": str(clock.new_id())}}
    headers, body = signed("payment_intent.succeeded", broken)
    with pytest.raises(BadNotice):
        gateway.read_webhook(body, headers)


@pytest.fixture(scope="session")
def stripe_mock() -> Iterator[str]:
    """Stripe's official stateless mock, built from its OpenAPI: checks our requests' shape."""
    program = Path(sys.executable).parent / "stripe-mock"
    need("stripe-mock (scripts/components builds it)", present=program.exists())
    port = free_port()
    process = subprocess.Popen(
        [program, "-http-port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


async def test_stripes_own_mock_understands_our_requests(stripe_mock: str) -> None:
    gateway = open_stripe("sk_test_1", WEBHOOK_SECRET, api_url=stripe_mock, timeout_seconds=10)
    asked = order(return_url="https://shop.example/done")
    charge = await _patiently(gateway, asked)
    assert charge.charge_id.startswith("pi_")
    assert await gateway.find(payment_of(asked, charge.charge_id))
    await gateway.find(payment_of(asked))
    await gateway.cancel(charge)
    made = await gateway.refund(replace(refund_of(charge), amount_cents=1))
    await gateway.find_refund(replace(refund_of(charge), provider_refund_id="re_1"))
    await gateway.events(datetime(2026, 1, 1, tzinfo=UTC), "")
    assert made.provider_refund_id.startswith("re_")
    await gateway.statement("")
    await gateway.statement("txn_1")
    await gateway.close()


async def _patiently(gateway: StripeGateway, asked: ChargeOrder) -> ProviderCharge:
    for _ in range(100):
        try:
            return await gateway.charge(asked)
        except GatewayAway:
            await asyncio.sleep(0.1)  # it is still starting
    raise AssertionError("stripe-mock does not answer")
