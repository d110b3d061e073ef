"""Webhooks that are forged, replayed, doubled, late, early, or out of order."""

import asyncio
import hmac
from typing import Any

import pytest

from cinesync.bank.model import sign
from cinesync.chassis import clock
from cinesync.payment import service, store
from cinesync.payment.gateways import sandbox
from cinesync.payment.model import Decision, Payment, ProviderReport, decide
from tests.integration.payment.conftest import PaymentHarness
from tests.integration.payment.webhooks import SignedWebhook, webhook
from tests.support.bank import SECRET

pytestmark = pytest.mark.slow


async def pending(harness: PaymentHarness) -> str:
    """A payment that the bank does not know."""
    payment_id: str = (await harness.pay("tok_down")).json()["payment_id"]
    return payment_id


async def post(harness: PaymentHarness, sent: SignedWebhook, provider: str = "sandbox") -> int:
    return (await harness.post_webhook(*sent, provider)).status_code


def forget_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(payment: Payment, _known: object, report: ProviderReport) -> Decision:
        return decide(payment, (), report)

    monkeypatch.setattr(service, "decide", forgetful)


async def test_a_webhook_decides_its_payment_once_however_often_it_comes(
    harness: PaymentHarness,
) -> None:
    payment_id = await pending(harness)
    sent = webhook(payment_id)
    statuses = await asyncio.gather(*(post(harness, sent) for _ in range(10)))
    assert set(statuses) == {204}
    assert (await harness.payment(payment_id))["status"] == "success"
    assert len(await harness.events()) == 1
    assert len(await harness.select("SELECT charge_id FROM captures")) == 1


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": "a guess"},
        {"age_seconds": 301},
        {"age_seconds": -301},
    ],
)
async def test_a_forged_or_old_webhook_is_refused(
    harness: PaymentHarness, forged: dict[str, Any]
) -> None:
    payment_id = await pending(harness)
    answer = await harness.post_webhook(*webhook(payment_id, **forged))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-signature")
    assert (await harness.payment(payment_id))["status"] == "pending"


async def test_an_altered_or_unsigned_webhook_is_refused(harness: PaymentHarness) -> None:
    payment_id = await pending(harness)
    headers, body = webhook(payment_id)
    assert await post(harness, (headers, body.replace(b"2400", b"2401"))) == 400
    assert await post(harness, ({}, body)) == 400
    assert await post(harness, ({"bank-signature": "t=now,v1=zz"}, body)) == 400
    assert await post(harness, ({"bank-signature": "t=1,v1="}, body)) == 400


async def test_without_the_signature_check_anyone_can_pay(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "check_signature", lambda *_: None)
    payment_id = await pending(harness)
    assert await post(harness, webhook(payment_id, secret="a guess")) == 204
    assert (await harness.payment(payment_id))["status"] == "success"


async def test_an_older_state_after_the_decision_changes_nothing(harness: PaymentHarness) -> None:
    payment_id = await pending(harness)
    for state in ("captured", "pending", "declined", "requires_confirmation"):
        assert await post(harness, webhook(payment_id, state=state)) == 204
    assert (await harness.payment(payment_id))["status"] == "success"
    assert [event["name"] for event in await harness.events()] == ["payment.success"]


async def test_a_capture_reported_before_its_pending_state_counts(harness: PaymentHarness) -> None:
    payment_id = await pending(harness)
    await post(harness, webhook(payment_id, state="captured"))
    await post(harness, webhook(payment_id, state="pending"))
    assert (await harness.payment(payment_id))["status"] == "success"


async def test_a_webhook_about_another_systems_payment_is_acknowledged_and_ignored(
    harness: PaymentHarness,
) -> None:
    assert await post(harness, webhook(clock.new_id())) == 204
    assert await harness.select("SELECT provider_event_id FROM provider_events") == []


async def test_a_webhook_with_a_reference_that_is_not_ours_is_acknowledged(
    harness: PaymentHarness,
) -> None:
    assert await post(harness, webhook("not one of our names")) == 204
    body = b"not even JSON"
    signature = sign(SECRET, int(clock.now().timestamp()), body)
    assert await post(harness, ({"bank-signature": signature}, body)) == 204


async def test_an_unknown_provider_has_no_webhook(harness: PaymentHarness) -> None:
    assert await post(harness, webhook(clock.new_id()), provider="gold") == 422


async def test_one_provider_cannot_decide_the_payment_of_another(harness: PaymentHarness) -> None:
    payment_id = await pending(harness)
    await harness.change("UPDATE payments SET provider = 'stripe'")
    assert await post(harness, webhook(payment_id)) == 204
    assert (await harness.payment(payment_id))["status"] == "pending"


async def test_a_signed_webhook_with_an_unknown_state_is_a_client_error(
    harness: PaymentHarness,
) -> None:
    payment_id = await pending(harness)
    assert await post(harness, webhook(payment_id, state="unheard_of")) == 400
    body = b"{}"
    digest = hmac.new(SECRET.encode(), b"soon." + body, "sha256").hexdigest()
    assert await post(harness, ({"bank-signature": f"t=soon,v1={digest}"}, body)) == 400


async def test_two_captures_in_one_batch_keep_one_and_return_one(harness: PaymentHarness) -> None:
    payment_id = await pending(harness)
    await asyncio.gather(*(post(harness, webhook(payment_id, f"ch_{n}")) for n in range(4)))
    surplus = await harness.select("SELECT surplus FROM captures")
    assert sorted(row.surplus for row in surplus) == [False, True, True, True]
    assert len(await harness.select("SELECT refund_id FROM refunds")) == 3
    assert len(await harness.events("payment.success")) == 1


async def test_a_capture_of_the_wrong_amount_is_refunded(harness: PaymentHarness) -> None:
    payment_id = await pending(harness)
    await post(harness, webhook(payment_id, amount_cents=1))
    payment = await harness.payment(payment_id)
    assert (payment["status"], payment["failure_reason"]) == ("failed", "wrong_amount")
    (refund,) = await harness.select("SELECT amount_cents FROM refunds")
    assert refund.amount_cents == 1


async def test_captures_guard_what_provider_events_let_through(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same charge under another event id, as after a provider's own replay."""
    payment_id = await pending(harness)
    for number in range(3):
        await post(harness, webhook(payment_id, event_id=f"evt_{number}"))
    assert len(await harness.select("SELECT provider_event_id FROM provider_events")) == 3
    assert len(await harness.select("SELECT charge_id FROM captures")) == 1
    assert await harness.select("SELECT refund_id FROM refunds") == []


async def test_without_the_record_of_captures_a_replay_refunds_a_good_capture(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        service, "decide", lambda payment, _known, report: decide(payment, (), report)
    )
    await harness.take_guard_off("ALTER TABLE captures DROP CONSTRAINT captures_pkey")
    payment_id = await pending(harness)
    for number in range(2):
        await post(harness, webhook(payment_id, event_id=f"evt_{number}"))
    (refund,) = await harness.select("SELECT amount_cents FROM refunds")
    assert refund.amount_cents == 2400


async def test_the_primary_key_alone_stops_a_second_capture_row(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        service, "decide", lambda payment, _known, report: decide(payment, (), report)
    )
    payment_id = await pending(harness)
    assert await post(harness, webhook(payment_id, event_id="evt_1")) == 204
    assert await post(harness, webhook(payment_id, event_id="evt_2")) == 500
    assert await harness.select("SELECT refund_id FROM refunds") == []


async def test_a_webhook_is_acknowledged_only_after_commit(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = await pending(harness)

    async def broken(*_: object) -> None:
        raise RuntimeError("killed before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(store, "update_payments", broken)
        assert await post(harness, webhook(payment_id)) == 500
    assert await harness.select("SELECT provider_event_id FROM provider_events") == []
    assert await post(harness, webhook(payment_id)) == 204
    assert (await harness.payment(payment_id))["status"] == "success"
