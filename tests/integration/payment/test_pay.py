"""Paying for a hold: every card of the bank, every trouble of booking, every race of keys."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from cinesync.chassis import clock
from cinesync.chassis.http.cursor import encode_cursor
from cinesync.payment import store
from tests.integration.payment.conftest import BuildBeside, MakeHarness, PaymentHarness, eventually
from tests.support.bank import BankClient

pytestmark = pytest.mark.slow


async def test_an_approved_card_pays_at_once(harness: PaymentHarness) -> None:
    answer = await harness.pay("tok_approve")
    payment = answer.json()
    assert answer.status_code == 201
    assert (payment["status"], payment["amount_cents"], payment["currency"]) == (
        "success",
        2400,
        "EUR",
    )
    assert answer.headers["location"] == f"/api/payment/payments/{payment['payment_id']}"
    (event,) = await harness.events()
    assert (event["name"], event["payment_id"]) == ("payment.success", payment["payment_id"])
    assert (event["hold_id"], event["amount_cents"]) == (payment["hold_id"], 2400)
    await harness.assert_money_is_conserved()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_decline", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_unheard_of", "UnknownToken"),
    ],
)
async def test_a_refused_card_is_decided_too(
    harness: PaymentHarness, token: str, reason: str
) -> None:
    answer = await harness.pay(token)
    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["failure_reason"]) == ("failed", reason)
    (event,) = await harness.events()
    assert (event["name"], event["reason"]) == ("payment.failed", reason)
    await harness.assert_money_is_conserved()


async def test_a_card_that_wants_confirmation_sends_its_holder_there(
    harness: PaymentHarness,
) -> None:
    answer = await harness.pay("tok_3ds", return_path="/checkout/done")
    payment = answer.json()
    assert (answer.status_code, payment["status"]) == (202, "pending")
    back = await harness.bank.post(payment["confirm_url"], data={"answer": "yes"})
    assert back.headers["location"] == "http://shop/checkout/done"
    paid = await harness.settled(payment["payment_id"], "success")
    assert paid["confirm_url"] is None
    await harness.assert_money_is_conserved()


async def test_a_declined_confirmation_is_no_payment(harness: PaymentHarness) -> None:
    payment = (await harness.pay("tok_3ds")).json()
    await harness.bank.post(payment["confirm_url"], data={"answer": "no"})
    failed = await harness.settled(payment["payment_id"], "failed")
    assert failed["failure_reason"] == "confirmation_declined"


async def test_the_reconciler_finds_a_charge_whose_response_was_lost(
    harness: PaymentHarness,
) -> None:
    answer = await harness.pay("tok_timeout_then_success")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    await harness.reconciler.poll_once()
    assert (await harness.payment(answer.json()["payment_id"]))["status"] == "success"
    assert len(await harness.events("payment.success")) == 1
    await harness.assert_money_is_conserved()


async def test_a_double_capture_is_refunded_once(harness: PaymentHarness) -> None:
    payment_id = (await harness.pay("tok_success_twice")).json()["payment_id"]
    await till_heard(harness, 2)
    (refund,) = await harness.select("SELECT charge_id FROM refunds WHERE surplus")
    await harness.refund_all()
    taken = {charge["charge_id"] for charge in await harness.charges(payment_id)}
    assert len(taken) == 2
    assert refund.charge_id in taken
    payment = await harness.payment(payment_id)
    assert (payment["status"], payment["refunded_cents"]) == ("success", 0)
    (event,) = await harness.events("payment.refunded")
    assert (event["amount_cents"], event["reason"]) == (2400, "captured_twice")
    await harness.assert_money_is_conserved()


async def till_heard(harness: PaymentHarness, count: int) -> None:
    """Waits until `count` provider events are committed."""

    async def check() -> bool | None:
        rows = await harness.select("SELECT provider_event_id FROM provider_events")
        return True if len(rows) == count else None

    await eventually(check, f"{count} provider events")


async def test_a_webhook_before_the_response_decides_once(harness: PaymentHarness) -> None:
    answer = await harness.pay("tok_webhook_first")
    assert (answer.status_code, answer.json()["status"]) == (201, "success")
    assert len(await harness.select("SELECT provider_event_id FROM provider_events")) == 1
    assert len(await harness.events("payment.success")) == 1
    await harness.assert_money_is_conserved()


async def test_a_late_success_comes_by_webhook(harness: PaymentHarness) -> None:
    payment = (await harness.pay("tok_late")).json()
    assert payment["status"] == "pending"
    await harness.settled(payment["payment_id"], "success")
    await harness.assert_money_is_conserved()


async def test_polling_finds_a_late_success_if_webhooks_are_lost(
    harness: PaymentHarness,
) -> None:
    harness.webhooks_open = False
    payment = (await harness.pay("tok_late")).json()
    await harness.reconciler.poll_once()
    assert (await harness.payment(payment["payment_id"]))["status"] == "pending"

    async def swept() -> bool | None:
        await harness.reconciler.poll_once()
        return (await harness.payment(payment["payment_id"]))["status"] == "success" or None

    await eventually(swept, "the sweep sees it")


async def test_the_reconciler_fails_a_payment_that_a_broken_bank_did_not_charge(
    harness: PaymentHarness,
) -> None:
    answer = await harness.pay("tok_down")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    await harness.reconciler.poll_once()
    payment = await harness.payment(answer.json()["payment_id"])
    assert (payment["status"], payment["failure_reason"]) == ("failed", "not_charged")
    await harness.assert_money_is_conserved()


async def test_a_key_is_required(harness: PaymentHarness) -> None:
    body = {"hold_id": str(clock.new_id()), "provider": "sandbox", "token": "tok_approve"}
    path = "/api/payment/payments"
    missing = await harness.client.post(path, json=body, headers=harness.signed())
    assert missing.status_code == 400
    assert missing.json()["type"] == "/problems/key-missing"
    assert (await harness.pay(key="k" * 256)).status_code == 400


async def test_a_token_is_required(harness: PaymentHarness) -> None:
    assert (await harness.client.post("/api/payment/payments", json={})).status_code in {401, 422}
    assert (await harness.client.get("/api/payment/payments")).status_code == 401


async def test_the_same_key_and_body_give_the_same_answer(harness: PaymentHarness) -> None:
    hold_id = str(clock.new_id())
    first = await harness.pay(key="k", hold_id=hold_id)
    harness.holds.state = "confirmed"
    again = await harness.pay(key="k", hold_id=hold_id)
    harness.holds.away = True
    third = await harness.pay(key="k", hold_id=hold_id)
    assert first.status_code == again.status_code == third.status_code == 201
    answers = [answer.json() for answer in (first, again, third)]
    assert {a["payment_id"] for a in answers} == {answers[0]["payment_id"]}
    assert {a["status"] for a in answers} == {"success"}


async def test_the_same_key_with_another_body_is_refused(harness: PaymentHarness) -> None:
    hold_id = str(clock.new_id())
    await harness.pay(key="k", hold_id=hold_id)
    other_hold = await harness.pay(key="k")
    other_token = await harness.pay("tok_decline", key="k", hold_id=hold_id)
    harness.holds.status = 404
    gone_hold = await harness.pay(key="k")
    for answer in (other_hold, other_token, gone_hold):
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/key-reused")
    assert len(await harness.select("SELECT payment_id FROM payments")) == 1


async def test_keys_are_each_customers_own(harness: PaymentHarness) -> None:
    first = await harness.pay(key="k")
    harness.customer_id = clock.new_id()
    second = await harness.pay(key="k")
    assert second.status_code == 201
    assert first.json()["payment_id"] != second.json()["payment_id"]


async def test_a_race_of_one_key_charges_once(
    harness: PaymentHarness, bank_client: BankClient, build_beside: BuildBeside
) -> None:
    other = build_beside(harness, bank_client)
    other.customer_id = harness.customer_id
    hold_id = str(clock.new_id())
    answers = await asyncio.gather(
        *(one.pay(key="k", hold_id=hold_id) for one in [harness, other] * 10)
    )
    assert {answer.status_code for answer in answers} <= {201, 202}
    (payment_id,) = {answer.json()["payment_id"] for answer in answers}
    assert len(await harness.charges(payment_id)) == 1
    assert len(await harness.events("payment.success")) == 1
    await harness.assert_money_is_conserved()


async def test_without_the_key_guard_the_race_charges_more_than_once(
    harness: PaymentHarness,
) -> None:
    await harness.take_guard_off("ALTER TABLE payments DROP CONSTRAINT payments_key")
    await harness.take_guard_off("DROP INDEX payments_one_per_hold")
    await harness.take_guard_off(
        "CREATE UNIQUE INDEX unguarded ON payments (customer_id, idempotency_key, payment_id)"
    )
    assert "ON CONFLICT DO NOTHING" in store.INSERT.sql
    unguarded = replace(store.INSERT, sql=store.INSERT.sql.replace("ON CONFLICT DO NOTHING", ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "INSERT", unguarded)
        hold_id = str(clock.new_id())
        first = await harness.pay(key="k", hold_id=hold_id)
        second = await harness.pay(key="k", hold_id=hold_id)
    assert first.json()["payment_id"] != second.json()["payment_id"]
    assert len(await harness.events("payment.success")) == 2


@pytest.mark.parametrize(
    ("status", "state", "expected", "problem"),
    [
        (404, "held", 404, "unknown-hold"),
        (409, "held", 409, "hold-not-payable"),
        (410, "held", 409, "hold-not-payable"),
        (200, "expired", 409, "hold-not-payable"),
        (200, "confirmed", 409, "already-paid"),
        (401, "held", 401, "unauthorized"),
        (403, "held", 403, "forbidden"),
        (500, "held", 503, "booking-away"),
    ],
)
async def test_a_hold_that_cannot_be_paid_is_a_clear_problem(
    harness: PaymentHarness, status: int, state: str, expected: int, problem: str
) -> None:
    harness.holds.status, harness.holds.state = status, state
    answer = await harness.pay()
    assert answer.status_code == expected
    assert answer.json()["type"] == f"/problems/{problem}"
    assert await harness.select("SELECT payment_id FROM payments") == []


async def test_a_hold_that_makes_no_sense_is_not_paid(harness: PaymentHarness) -> None:
    harness.holds.state = None  # type: ignore[assignment]
    assert (await harness.pay()).status_code == 503


async def test_an_unavailable_booking_service_asks_to_retry(harness: PaymentHarness) -> None:
    harness.holds.away = True
    answer = await harness.pay()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_holds_are_read_with_the_customers_own_token(harness: PaymentHarness) -> None:
    await harness.pay()
    (token,) = harness.holds.tokens
    assert token.count(".") == 2, "a JWT, without its scheme"


async def test_payments_that_start_together_read_their_holds_in_one_request(
    harness: PaymentHarness,
) -> None:
    answers = await asyncio.gather(*(harness.pay(key=str(number)) for number in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len(harness.holds.tokens) == 20


@pytest.mark.parametrize(("http_status", "answers_max"), [(503, 100), (200, 0)])
async def test_an_answer_that_says_too_little_is_none(
    harness: PaymentHarness, http_status: int, answers_max: int
) -> None:
    harness.holds.http_status, harness.holds.answers_max = http_status, answers_max
    assert (await harness.pay()).status_code == 503


async def test_unknown_providers_and_fields_are_refused(harness: PaymentHarness) -> None:
    assert (await harness.pay(provider="gold")).status_code == 422
    assert (await harness.pay(amount_cents="1")).status_code == 400
    assert (await harness.pay(return_path="//evil.example")).status_code == 422
    for token in ("tok approve", "tok_approve\n", "", "t" * 101):
        assert (await harness.pay(token)).status_code == 422


async def test_customers_see_their_own_payments_only(harness: PaymentHarness) -> None:
    mine = (await harness.pay()).json()["payment_id"]
    path = f"/api/payment/payments/{mine}"
    auditor = harness.signed("auditor")
    harness.customer_id = clock.new_id()
    assert (await harness.client.get(path, headers=harness.signed())).status_code == 404
    assert (await harness.client.get(path, headers=auditor)).status_code == 200
    nobody = f"/api/payment/payments/{clock.new_id()}"
    assert (await harness.client.get(nobody, headers=harness.signed())).status_code == 404
    listed = await harness.client.get("/api/payment/payments", headers=harness.signed())
    assert listed.json() == {"items": [], "next": None}


async def test_payments_are_listed_newest_first_page_by_page(harness: PaymentHarness) -> None:
    made = [(await harness.pay()).json()["payment_id"] for _ in range(5)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        answer = await harness.client.get(
            "/api/payment/payments", params=params, headers=harness.signed()
        )
        page = answer.json()
        seen += [item["payment_id"] for item in page["items"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert seen == made[::-1]


async def test_a_cursor_not_made_here_is_refused(harness: PaymentHarness) -> None:
    name = str(clock.new_id())
    for cursor in (
        "nonsense",
        encode_cursor("a", "b"),
        encode_cursor("1e300", name),
        encode_cursor("nan", name),
        encode_cursor("1.0", "b"),
    ):
        answer = await harness.client.get(
            "/api/payment/payments", params={"after": cursor}, headers=harness.signed()
        )
        assert answer.status_code == 422


async def test_many_payments_share_transactions(harness: PaymentHarness) -> None:
    answers = await asyncio.gather(*(harness.pay() for _ in range(60)))
    assert Counter(answer.json()["status"] for answer in answers) == {"success": 60}
    keys = await harness.select("SELECT run_key FROM run_keys")
    assert len(keys) < 120
    assert len(await harness.events("payment.success")) == 60
    await harness.assert_money_is_conserved()


async def test_a_bank_away_leaves_payments_pending_until_it_is_back(
    make_harness: MakeHarness, own_bank_client: BankClient
) -> None:
    harness = await make_harness(own_bank_client)
    paid = (await harness.pay()).json()["payment_id"]
    own_bank_client.kill()
    pending = (await harness.pay()).json()
    assert pending["status"] == "pending"
    await harness.reconciler.poll_once()
    assert (await harness.payment(pending["payment_id"]))["status"] == "pending"
    await asyncio.to_thread(own_bank_client.open)
    await harness.reconciler.poll_once()
    assert (await harness.payment(pending["payment_id"]))["status"] == "failed"
    assert (await harness.payment(paid))["status"] == "success"
    await harness.assert_money_is_conserved()


async def test_no_payment_is_begun_that_could_not_be_confirmed(harness: PaymentHarness) -> None:
    """While the relay, or the disk, would leave it unconfirmed; what was begun is still told."""
    earlier = await harness.pay("tok_approve", key="first")
    harness.processor._intake.trouble = "payment.relay: no success for 61 s"
    refused = await harness.pay("tok_approve", key="second")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["type"] == "/problems/not-taking"
    assert len(await harness.events()) == 1
    harness.processor._intake.trouble = None
    assert (await harness.pay("tok_approve", key="second")).status_code == 201
    assert earlier.status_code == 201
    await harness.assert_money_is_conserved()
