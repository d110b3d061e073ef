"""Paying for a hold: every card of the bank, every trouble of booking, every race of keys."""

import asyncio
from collections import Counter
from typing import Any

import pytest
import sqlalchemy

from cinesync.chassis import clock
from cinesync.chassis.http.cursor import encode_cursor
from cinesync.payment import store
from tests.integration.payment.conftest import BuildBeside, MakeTill, Till, eventually
from tests.support.bank import Teller

pytestmark = pytest.mark.slow


async def test_an_approved_card_pays_at_once(till: Till) -> None:
    answer = await till.pay("tok_approve")
    payment = answer.json()
    assert answer.status_code == 201
    assert (payment["status"], payment["amount_cents"], payment["currency"]) == (
        "success",
        2400,
        "EUR",
    )
    assert answer.headers["location"] == f"/api/payment/payments/{payment['payment_id']}"
    (event,) = await till.events()
    assert (event["name"], event["payment_id"]) == ("payment.success", payment["payment_id"])
    assert (event["hold_id"], event["amount_cents"]) == (payment["hold_id"], 2400)
    await till.assert_books_are_whole()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_decline", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_unheard_of", "UnknownToken"),
    ],
)
async def test_a_refused_card_is_decided_too(till: Till, token: str, reason: str) -> None:
    answer = await till.pay(token)
    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["failure_reason"]) == ("failed", reason)
    (event,) = await till.events()
    assert (event["name"], event["reason"]) == ("payment.failed", reason)
    await till.assert_books_are_whole()


async def test_a_card_that_wants_confirmation_sends_its_holder_there(till: Till) -> None:
    answer = await till.pay("tok_3ds", return_path="/checkout/done")
    payment = answer.json()
    assert (answer.status_code, payment["status"]) == (202, "pending")
    back = await till.bank.post(payment["confirm_url"], data={"answer": "yes"})
    assert back.headers["location"] == "http://shop/checkout/done"
    paid = await till.settled(payment["payment_id"], "success")
    assert paid["confirm_url"] is None
    await till.assert_books_are_whole()


async def test_a_holder_who_says_no_has_not_paid(till: Till) -> None:
    payment = (await till.pay("tok_3ds")).json()
    await till.bank.post(payment["confirm_url"], data={"answer": "no"})
    failed = await till.settled(payment["payment_id"], "failed")
    assert failed["failure_reason"] == "confirmation_declined"


async def test_a_lost_answer_is_found_by_the_sweep(till: Till) -> None:
    answer = await till.pay("tok_timeout_then_success")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    await till.sweep.ask_once()
    assert (await till.payment(answer.json()["payment_id"]))["status"] == "success"
    assert len(await till.events("payment.success")) == 1
    await till.assert_books_are_whole()


async def test_money_taken_twice_is_given_back_once(till: Till) -> None:
    payment_id = (await till.pay("tok_success_twice")).json()["payment_id"]
    await till_heard(till, 2)
    (refund,) = await till.select("SELECT charge_id FROM refunds WHERE surplus")
    await till.give_back_all()
    taken = {charge["charge_id"] for charge in await till.charges(payment_id)}
    assert len(taken) == 2
    assert refund.charge_id in taken
    payment = await till.payment(payment_id)
    assert (payment["status"], payment["refunded_cents"]) == ("success", 0)
    (event,) = await till.events("payment.refunded")
    assert (event["amount_cents"], event["reason"]) == (2400, "captured_twice")
    await till.assert_books_are_whole()


async def till_heard(till: Till, count: int) -> None:
    """Waits until `count` provider events are committed."""

    async def check() -> bool | None:
        rows = await till.select("SELECT provider_event_id FROM provider_events")
        return True if len(rows) == count else None

    await eventually(check, f"{count} provider events")


async def test_a_notice_that_comes_before_the_answer_decides_once(till: Till) -> None:
    answer = await till.pay("tok_webhook_first")
    assert (answer.status_code, answer.json()["status"]) == (201, "success")
    assert len(await till.select("SELECT provider_event_id FROM provider_events")) == 1
    assert len(await till.events("payment.success")) == 1
    await till.assert_books_are_whole()


async def test_a_late_success_comes_by_webhook(till: Till) -> None:
    payment = (await till.pay("tok_late")).json()
    assert payment["status"] == "pending"
    await till.settled(payment["payment_id"], "success")
    await till.assert_books_are_whole()


async def test_a_late_success_is_seen_when_asked_if_webhooks_are_lost(till: Till) -> None:
    till.webhooks_open = False
    payment = (await till.pay("tok_late")).json()
    await till.sweep.ask_once()
    assert (await till.payment(payment["payment_id"]))["status"] == "pending"

    async def swept() -> bool | None:
        await till.sweep.ask_once()
        return (await till.payment(payment["payment_id"]))["status"] == "success" or None

    await eventually(swept, "the sweep sees it")


async def test_a_broken_bank_charges_nothing_and_the_sweep_says_so(till: Till) -> None:
    answer = await till.pay("tok_down")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    await till.sweep.ask_once()
    payment = await till.payment(answer.json()["payment_id"])
    assert (payment["status"], payment["failure_reason"]) == ("failed", "not_charged")
    await till.assert_books_are_whole()


async def test_a_key_is_required(till: Till) -> None:
    body = {"hold_id": str(clock.new_id()), "provider": "sandbox", "token": "tok_approve"}
    path = "/api/payment/payments"
    missing = await till.client.post(path, json=body, headers=till.signed())
    assert missing.status_code == 400
    assert missing.json()["type"] == "/problems/key-missing"
    assert (await till.pay(key="k" * 256)).status_code == 400


async def test_a_token_is_required(till: Till) -> None:
    assert (await till.client.post("/api/payment/payments", json={})).status_code in {401, 422}
    assert (await till.client.get("/api/payment/payments")).status_code == 401


async def test_the_same_key_and_body_give_the_same_answer(till: Till) -> None:
    hold_id = str(clock.new_id())
    first = await till.pay(key="k", hold_id=hold_id)
    till.holds.state = "confirmed"
    again = await till.pay(key="k", hold_id=hold_id)
    till.holds.away = True
    third = await till.pay(key="k", hold_id=hold_id)
    assert first.status_code == again.status_code == third.status_code == 201
    answers = [answer.json() for answer in (first, again, third)]
    assert {a["payment_id"] for a in answers} == {answers[0]["payment_id"]}
    assert {a["status"] for a in answers} == {"success"}


async def test_the_same_key_with_another_body_is_refused(till: Till) -> None:
    hold_id = str(clock.new_id())
    await till.pay(key="k", hold_id=hold_id)
    other_hold = await till.pay(key="k")
    other_token = await till.pay("tok_decline", key="k", hold_id=hold_id)
    till.holds.status = 404
    gone_hold = await till.pay(key="k")
    for answer in (other_hold, other_token, gone_hold):
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/key-reused")
    assert len(await till.select("SELECT payment_id FROM payments")) == 1


async def test_keys_are_each_customers_own(till: Till) -> None:
    first = await till.pay(key="k")
    till.customer_id = clock.new_id()
    second = await till.pay(key="k")
    assert second.status_code == 201
    assert first.json()["payment_id"] != second.json()["payment_id"]


async def test_a_race_of_one_key_charges_once(
    till: Till, teller: Teller, build_beside: BuildBeside
) -> None:
    other = build_beside(till, teller)
    other.customer_id = till.customer_id
    hold_id = str(clock.new_id())
    answers = await asyncio.gather(
        *(one.pay(key="k", hold_id=hold_id) for one in [till, other] * 10)
    )
    assert {answer.status_code for answer in answers} <= {201, 202}
    (payment_id,) = {answer.json()["payment_id"] for answer in answers}
    assert len(await till.charges(payment_id)) == 1
    assert len(await till.events("payment.success")) == 1
    await till.assert_books_are_whole()


async def test_without_the_key_guard_the_race_charges_more_than_once(till: Till) -> None:
    await till.take_guard_off("ALTER TABLE payments DROP CONSTRAINT payments_key")
    await till.take_guard_off("DROP INDEX payments_one_per_hold")
    await till.take_guard_off(
        "CREATE UNIQUE INDEX unguarded ON payments (customer_id, idempotency_key, payment_id)"
    )
    statement = sqlalchemy.text

    def unguarded(sql: str) -> Any:
        return statement(sql.replace("ON CONFLICT DO NOTHING", ""))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "text", unguarded)
        hold_id = str(clock.new_id())
        first = await till.pay(key="k", hold_id=hold_id)
        second = await till.pay(key="k", hold_id=hold_id)
    assert first.json()["payment_id"] != second.json()["payment_id"]
    assert len(await till.events("payment.success")) == 2


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
    till: Till, status: int, state: str, expected: int, problem: str
) -> None:
    till.holds.status, till.holds.state = status, state
    answer = await till.pay()
    assert answer.status_code == expected
    assert answer.json()["type"] == f"/problems/{problem}"
    assert await till.select("SELECT payment_id FROM payments") == []


async def test_a_hold_that_makes_no_sense_is_not_paid(till: Till) -> None:
    till.holds.state = None  # type: ignore[assignment]
    assert (await till.pay()).status_code == 503


async def test_booking_away_asks_to_come_again(till: Till) -> None:
    till.holds.away = True
    answer = await till.pay()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_booking_is_asked_with_the_customers_own_token(till: Till) -> None:
    await till.pay()
    (token,) = till.holds.tokens
    assert token.count(".") == 2, "a JWT, without its scheme"


async def test_payments_that_begin_together_ask_together(till: Till) -> None:
    answers = await asyncio.gather(*(till.pay(key=str(number)) for number in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len(till.holds.tokens) == 20


@pytest.mark.parametrize(("door_status", "answers_max"), [(503, 100), (200, 0)])
async def test_an_answer_that_says_too_little_is_none(
    till: Till, door_status: int, answers_max: int
) -> None:
    till.holds.door_status, till.holds.answers_max = door_status, answers_max
    assert (await till.pay()).status_code == 503


async def test_unknown_providers_and_fields_are_refused(till: Till) -> None:
    assert (await till.pay(provider="gold")).status_code == 422
    assert (await till.pay(amount_cents="1")).status_code == 400
    assert (await till.pay(return_path="//evil.example")).status_code == 422
    for token in ("tok approve", "tok_approve\n", "", "t" * 101):
        assert (await till.pay(token)).status_code == 422


async def test_customers_see_their_own_payments_only(till: Till) -> None:
    mine = (await till.pay()).json()["payment_id"]
    path = f"/api/payment/payments/{mine}"
    auditor = till.signed("auditor")
    till.customer_id = clock.new_id()
    assert (await till.client.get(path, headers=till.signed())).status_code == 404
    assert (await till.client.get(path, headers=auditor)).status_code == 200
    nobody = f"/api/payment/payments/{clock.new_id()}"
    assert (await till.client.get(nobody, headers=till.signed())).status_code == 404
    listed = await till.client.get("/api/payment/payments", headers=till.signed())
    assert listed.json() == {"items": [], "next": None}


async def test_payments_are_listed_newest_first_page_by_page(till: Till) -> None:
    made = [(await till.pay()).json()["payment_id"] for _ in range(5)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        answer = await till.client.get(
            "/api/payment/payments", params=params, headers=till.signed()
        )
        page = answer.json()
        seen += [item["payment_id"] for item in page["items"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert seen == made[::-1]


async def test_a_cursor_not_made_here_is_refused(till: Till) -> None:
    name = str(clock.new_id())
    for cursor in (
        "nonsense",
        encode_cursor("a", "b"),
        encode_cursor("1e300", name),
        encode_cursor("nan", name),
        encode_cursor("1.0", "b"),
    ):
        answer = await till.client.get(
            "/api/payment/payments", params={"after": cursor}, headers=till.signed()
        )
        assert answer.status_code == 422


async def test_many_payments_share_transactions(till: Till) -> None:
    answers = await asyncio.gather(*(till.pay() for _ in range(60)))
    assert Counter(answer.json()["status"] for answer in answers) == {"success": 60}
    keys = await till.select("SELECT run_key FROM run_keys")
    assert len(keys) < 120
    assert len(await till.events("payment.success")) == 60
    await till.assert_books_are_whole()


async def test_a_bank_away_leaves_payments_pending_until_it_is_back(
    make_till: MakeTill, own_teller: Teller
) -> None:
    till = await make_till(own_teller)
    paid = (await till.pay()).json()["payment_id"]
    own_teller.kill()
    pending = (await till.pay()).json()
    assert pending["status"] == "pending"
    await till.sweep.ask_once()
    assert (await till.payment(pending["payment_id"]))["status"] == "pending"
    await asyncio.to_thread(own_teller.open)
    await till.sweep.ask_once()
    assert (await till.payment(pending["payment_id"]))["status"] == "failed"
    assert (await till.payment(paid))["status"] == "success"
    await till.assert_books_are_whole()


async def test_no_payment_is_begun_that_could_not_be_confirmed(till: Till) -> None:
    """While the relay, or the disk, would leave it unconfirmed; what was begun is still told."""
    earlier = await till.pay("tok_approve", key="first")
    till.cashier._intake.trouble = "payment.relay: no success for 61 s"
    refused = await till.pay("tok_approve", key="second")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["type"] == "/problems/not-taking"
    assert len(await till.events()) == 1
    till.cashier._intake.trouble = None
    assert (await till.pay("tok_approve", key="second")).status_code == 201
    assert earlier.status_code == 201
    await till.assert_books_are_whole()
