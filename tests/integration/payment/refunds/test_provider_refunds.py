"""Refunds and disputes at Stripe: slow, failed, from the dashboard, lost; and the staff API."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from cinesync.chassis import clock
from cinesync.contracts.booking import BookingCancelled
from cinesync.payment.context import PaymentContext
from cinesync.payment.gateways.stripe import StripeGateway, open_stripe
from cinesync.payment.payment_processor import PaymentProcessor
from cinesync.payment.reconciliation import audit_store
from cinesync.payment.reconciliation.catch_up import ProviderCatchUp
from cinesync.payment.reconciliation.reconciler import Reconciler
from cinesync.payment.refunds import service as refund_service
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
    an_event,
    signed,
    stripe_stand_in,
)

# The SDK hands its form to httpx in a way that httpx no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@dataclass
class StripeShop:
    """A payment service that takes money through the stand-in."""

    harness: PaymentHarness
    gateway: StripeGateway
    stripe: StripeStandIn
    reconciler: Reconciler
    catch_up: ProviderCatchUp

    async def paid(self) -> tuple[dict[str, Any], str]:
        """A payment, and its PaymentIntent."""
        payment = (await self.harness.pay("pm_card_visa", provider="stripe")).json()
        assert payment["status"] == "success"
        return payment, list(self.stripe.intents)[-1]

    async def receive_webhook(self, event_type: str, thing: dict[str, Any]) -> None:
        webhook = signed(event_type, thing)
        answer = await self.harness.post_webhook(*webhook, provider="stripe")
        assert answer.status_code == 204, answer.text

    async def cancel(self, payment: dict[str, Any], cents: int = 2400) -> None:
        """Booking cancels a booking."""
        event = BookingCancelled(
            event_id=clock.new_id(),
            occurred_at=clock.now(),
            booking_id=UUID(payment["hold_id"]),
            payment_id=UUID(payment["payment_id"]),
            customer_id=clock.new_id(),
            show_id=clock.new_id(),
            region="europe",
            seats=["F7"],
            refund_cents=cents,
            currency="EUR",
            reason="customer",
        )
        await self.harness.db.run(refund_service.refund_bookings, [event])

    async def statuses(self) -> list[str]:
        rows = await self.harness.select(
            "SELECT status FROM refunds ORDER BY created_at, refund_id"
        )
        return [row.status for row in rows]

    async def soon(self) -> None:
        """The pause before the next attempt passes."""
        await self.harness.change("UPDATE refunds SET next_attempt_at = now()")

    async def attention(self, role: str = "manager", **params: str | int) -> httpx.Response:
        return await self.harness.client.get(
            "/api/payment/attention", headers=self.harness.signed(role), params=params
        )

    async def retry(self, refund_id: str, role: str = "manager") -> httpx.Response:
        path = f"/api/payment/refunds/{refund_id}/retry"
        return await self.harness.client.post(path, headers=self.harness.signed(role))

    async def assert_sound(self) -> None:
        assert await self.harness.db.read(audit_store.contradictions, 10) == []


@pytest.fixture
async def shop(harness: PaymentHarness, make_client: MakeClient) -> AsyncIterator[StripeShop]:
    async with stripe_stand_in() as stand_in:
        gateway = open_stripe("sk_test_1", WEBHOOK_SECRET, api_url=stand_in.url, timeout_seconds=5)
        processor = PaymentProcessor(
            harness.db, {"stripe": gateway}, open_holds(harness.holds), RETRY_POLICY
        )
        context = PaymentContext(harness.db, processor, "")
        harness.client = make_client("payment", payment_routers(context))
        reconciler = Reconciler(
            db=harness.db,
            gateway=gateway,
            processor=processor,
            retry_policy=RETRY_POLICY,
            refund_retry_seconds=10.0,
            poll_seconds=0.01,
            refund_attempts_max=3,
        )
        yield StripeShop(
            harness, gateway, stand_in, reconciler, ProviderCatchUp(gateway, processor, 60.0)
        )
        await processor.close()
        await gateway.close()


async def test_a_refund_that_stripe_has_under_way_is_not_done_yet(shop: StripeShop) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    shop.stripe.refund_status = "pending"
    await shop.reconciler.refund_once()
    assert await shop.statuses() == ["submitted"]
    assert await shop.harness.events("payment.refunded") == []
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "success"
    (name,) = shop.stripe.refunds
    await shop.receive_webhook("refund.updated", shop.stripe.move_refund(name, "succeeded"))
    assert await shop.statuses() == ["done"]
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert len(await shop.harness.events("payment.refunded")) == 1
    await shop.assert_sound()


async def test_a_refund_whose_webhook_never_arrives_is_polled_for(shop: StripeShop) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    shop.stripe.refund_status = "pending"
    await shop.reconciler.refund_once()
    (name,) = shop.stripe.refunds
    shop.stripe.move_refund(name, "succeeded")
    await shop.soon()
    await shop.reconciler.refund_once()
    assert await shop.statuses() == ["done"]
    assert len(shop.stripe.refunds) == 1, "polled for, not requested again"


@pytest.mark.parametrize("status", ["failed", "canceled"])
async def test_a_refund_that_stripe_could_not_make_waits_for_people(
    shop: StripeShop, status: str
) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    shop.stripe.refund_status = status
    await shop.reconciler.refund_once()
    assert await shop.statuses() == ["failed"]
    (event,) = await shop.harness.events("payment.refund.failed")
    assert (event["amount_cents"], event["was_refunded"]) == (2400, False)
    await shop.soon()
    assert await shop.reconciler.refund_once() == 0
    await shop.assert_sound()


async def test_a_refund_that_fails_after_it_succeeded_is_owed_again(shop: StripeShop) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    await shop.reconciler.refund_once()
    (name,) = shop.stripe.refunds
    failed = shop.stripe.move_refund(name, "failed", "lost_or_stolen_card")
    for event_type in ("refund.failed", "refund.updated", "charge.refund.updated"):
        await shop.receive_webhook(event_type, failed)
    found = await shop.harness.payment(payment["payment_id"])
    assert (found["status"], found["refunded_cents"]) == ("success", 0)
    (event,) = await shop.harness.events("payment.refund.failed")
    assert event["was_refunded"]
    (row,) = await shop.harness.select("SELECT event_id, was_refunded FROM refund_failures")
    assert (str(row.event_id), row.was_refunded) == (event["event_id"], True)
    (item,) = (await shop.attention()).json()["items"]
    assert (item["kind"], item["status"], item["error"]) == (
        "refund",
        "failed",
        "lost_or_stolen_card",
    )
    assert item["hold_id"] == payment["hold_id"]
    await shop.assert_sound()


async def test_a_manager_has_a_failed_refund_made_again(shop: StripeShop) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    await shop.reconciler.refund_once()
    (name,) = shop.stripe.refunds
    await shop.receive_webhook("refund.failed", shop.stripe.move_refund(name, "failed"))
    (item,) = (await shop.attention()).json()["items"]
    assert (await shop.retry(item["id"], "auditor")).status_code == 403
    answer = await shop.retry(item["id"])
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.json()["refund_id"] != item["id"], "Stripe would answer the old key as before"
    assert (await shop.retry(item["id"])).json()["type"] == "/problems/nothing-to-retry"
    assert (await shop.retry(str(clock.new_id()))).status_code == 404
    await shop.reconciler.refund_once()
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert (await shop.attention()).json()["items"] == []
    (entry,) = await shop.harness.select("SELECT action, object_id FROM audit_log")
    assert (entry.action, entry.object_id) == ("refund.retried", item["id"])
    await shop.assert_sound()


async def test_a_refund_that_is_refused_for_ever_ends_before_a_person(shop: StripeShop) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    shop.stripe.broken = True
    for _ in range(5):
        await shop.reconciler.refund_once()
        await shop.soon()
    assert await shop.statuses() == ["needs_attention"]
    (refund,) = await shop.harness.select("SELECT attempts, last_error FROM refunds")
    assert refund.attempts == 3
    assert "broken" in refund.last_error
    (item,) = (await shop.attention()).json()["items"]
    assert item["status"] == "needs_attention"
    shop.stripe.broken = False
    assert (await shop.retry(item["id"])).json()["refund_id"] == item["id"]
    await shop.reconciler.refund_once()
    assert await shop.statuses() == ["done"]
    assert len(shop.stripe.refunds) == 1
    await shop.assert_sound()


async def test_pauses_between_attempts_double(shop: StripeShop) -> None:
    payment, _ = await shop.paid()
    await shop.cancel(payment)
    shop.stripe.broken = True
    pauses = []
    for _ in range(3):
        await shop.reconciler.refund_once()
        (row,) = await shop.harness.select("SELECT next_attempt_at - now() AS pause FROM refunds")
        pauses.append(round(row.pause.total_seconds(), -1))
        await shop.soon()
    assert pauses == [10.0, 20.0, 40.0]


async def test_a_refund_made_in_the_dashboard_is_taken_over(shop: StripeShop) -> None:
    payment, intent = await shop.paid()
    from_dashboard = shop.stripe.refund_in_dashboard(intent, 2400)
    for _ in range(2):
        await shop.receive_webhook("refund.created", from_dashboard)
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "refunded"
    (event,) = await shop.harness.events("payment.refunded")
    assert (event["amount_cents"], event["unasked_cents"], event["reason"]) == (
        2400,
        2400,
        "provider",
    )
    # What booking then asks for is back already.
    await shop.cancel(payment)
    assert await shop.reconciler.refund_once() == 0
    assert len(shop.stripe.refunds) == 1
    await shop.assert_sound()


async def test_a_dashboard_refund_ends_our_own_attempts(shop: StripeShop) -> None:
    """As it was, ours was refused and tried again for ever."""
    payment, intent = await shop.paid()
    await shop.cancel(payment)
    from_dashboard = shop.stripe.refund_in_dashboard(intent, 2400)
    await shop.reconciler.refund_once()
    (refund,) = await shop.harness.select("SELECT status, last_error FROM refunds")
    assert (refund.status, refund.last_error) == ("pending", "charge_already_refunded")
    await shop.receive_webhook("refund.created", from_dashboard)
    assert sorted(await shop.statuses()) == ["cancelled", "done"]
    await shop.soon()
    assert await shop.reconciler.refund_once() == 0
    (event,) = await shop.harness.events("payment.refunded")
    assert (event["unasked_cents"], event["reason"]) == (0, "customer")
    await shop.assert_sound()


async def test_a_partial_dashboard_refund_is_recorded(shop: StripeShop) -> None:
    payment, intent = await shop.paid()
    await shop.receive_webhook("refund.created", shop.stripe.refund_in_dashboard(intent, 1000))
    found = await shop.harness.payment(payment["payment_id"])
    assert (found["status"], found["refunded_cents"]) == ("partially_refunded", 1000)
    await shop.cancel(payment)
    await shop.reconciler.refund_once()
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert sorted(refund["amount"] for refund in shop.stripe.refunds.values()) == [1000, 1400]
    await shop.assert_sound()


async def test_a_dispute_is_published_and_a_lost_one_is_a_refund(
    shop: StripeShop,
) -> None:
    payment, intent = await shop.paid()
    for event_type, status in (
        ("charge.dispute.created", "warning_needs_response"),
        ("charge.dispute.updated", "needs_response"),
        ("charge.dispute.funds_withdrawn", "needs_response"),
        ("charge.dispute.updated", "under_review"),
    ):
        await shop.receive_webhook(event_type, shop.stripe.dispute(intent, status))
    (item,) = (await shop.attention("auditor")).json()["items"]
    assert (item["kind"], item["status"], item["reason"]) == ("dispute", "open", "fraudulent")
    assert item["due_at"] is not None
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "success"
    lost = shop.stripe.dispute(intent, "lost")
    for _ in range(2):
        await shop.receive_webhook("charge.dispute.closed", lost)
    await shop.receive_webhook(
        "charge.dispute.updated", shop.stripe.dispute(intent, "under_review")
    )
    statuses = {event["status"] for event in await shop.harness.events("payment.disputed")}
    assert statuses == {"inquiry", "open", "lost"}
    assert len(await shop.harness.events("payment.disputed")) == 3
    rows = await shop.harness.select("SELECT status FROM dispute_changes ORDER BY changed_at")
    assert [row.status for row in rows] == ["inquiry", "open", "lost"]
    (event,) = await shop.harness.events("payment.refunded")
    assert (event["reason"], event["unasked_cents"]) == ("dispute_lost", 2400)
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert (await shop.attention()).json()["items"] == []
    await shop.assert_sound()


async def test_a_dispute_that_is_won_takes_nothing(shop: StripeShop) -> None:
    payment, intent = await shop.paid()
    await shop.receive_webhook("charge.dispute.closed", shop.stripe.dispute(intent, "won"))
    await shop.receive_webhook(
        "charge.dispute.created", shop.stripe.dispute(intent, "needs_response")
    )
    assert [e["status"] for e in await shop.harness.events("payment.disputed")] == ["won"]
    assert (await shop.harness.payment(payment["payment_id"]))["status"] == "success"


async def test_refunds_and_disputes_of_another_system_are_passed_over(shop: StripeShop) -> None:
    foreign = {
        "id": "re_foreign",
        "amount": 100,
        "currency": "eur",
        "status": "succeeded",
        "payment_intent": "pi_foreign",
        "metadata": {},
    }
    await shop.receive_webhook("refund.created", foreign)
    await shop.receive_webhook("refund.created", foreign | {"payment_intent": None})
    await shop.receive_webhook("charge.dispute.created", foreign | {"status": "needs_response"})
    await shop.receive_webhook("refund.created", foreign | {"currency": "zzz"})
    assert await shop.statuses() == []
    assert await shop.harness.select("SELECT dispute_id FROM disputes") == []


async def test_webhooks_that_never_arrived_are_read_from_stripes_list(shop: StripeShop) -> None:
    payment, intent = await shop.paid()
    from_dashboard = shop.stripe.refund_in_dashboard(intent, 1000)
    shop.stripe.events = [
        an_event("refund.created", from_dashboard),
        an_event("refund.created", from_dashboard | {"payment_intent": "pi_foreign", "id": "re_x"}),
        an_event("charge.dispute.created", shop.stripe.dispute(intent, "needs_response")),
        an_event("refund.created", {"id": "re_broken"}),
    ]
    assert await shop.catch_up.read() == 3
    assert (await shop.harness.payment(payment["payment_id"]))["refunded_cents"] == 1000
    assert len((await shop.attention()).json()["items"]) == 1
    assert await shop.catch_up.read() == 3, "those of the last half hour are read again"
    assert len(await shop.harness.events("payment.refunded")) == 1
    await shop.assert_sound()


async def test_the_list_for_staff_is_read_in_pages(shop: StripeShop) -> None:
    for _ in range(3):
        _, intent = await shop.paid()
        await shop.receive_webhook(
            "charge.dispute.created", shop.stripe.dispute(intent, "needs_response")
        )
    first = (await shop.attention(limit=2)).json()
    second = (await shop.attention(limit=2, after=first["next"])).json()
    ids = [item["id"] for item in [*first["items"], *second["items"]]]
    assert (len(ids), len(set(ids)), second["next"]) == (3, 3, None)
    assert (await shop.attention(after="nonsense")).status_code == 422


@pytest.mark.parametrize(("role", "status"), [("customer", 403), ("staff", 403), ("auditor", 200)])
async def test_the_list_is_for_managers_and_auditors(
    shop: StripeShop, role: str, status: int
) -> None:
    answer = await shop.attention(role)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["cache-control"] == "no-store"
