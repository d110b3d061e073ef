"""The bank over HTTP, as a process that can be killed."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from cinesync.bank.model import BankChargeState, ChargeRequest
from cinesync.bank.store import BankStore, ChargeResult, Delays
from tests.integration.bank.conftest import Shop, WebhookReceiver
from tests.support.bank import BankClient, listening


async def test_an_approved_card_is_captured_at_once(shop: Shop) -> None:
    answer = await shop.pay("tok_approve")
    assert (answer.status_code, answer.json()["state"]) == (201, "captured")
    assert await shop.lines() == [("capture", "1", 1200)]


async def test_declined_cards_have_a_code_and_move_no_money(shop: Shop) -> None:
    first = (await shop.pay("tok_decline", "a")).json()
    second = (await shop.pay("tok_insufficient_funds", "b")).json()
    assert first["decline_code"] == "card_declined"
    assert second["decline_code"] == "insufficient_funds"
    assert await shop.lines() == []


async def test_the_same_key_gives_the_same_charge(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.pay("tok_approve") for _ in range(20)))
    assert len({answer.json()["charge_id"] for answer in answers}) == 1
    assert len(await shop.lines()) == 1


async def test_the_same_key_with_other_parameters_is_refused(shop: Shop) -> None:
    await shop.pay("tok_approve")
    assert (await shop.pay("tok_approve", cents=1300)).status_code == 409
    assert (await shop.pay("tok_decline")).status_code == 409


async def test_a_key_is_required_and_amounts_are_positive(shop: Shop) -> None:
    body = {"amount_cents": 1, "currency": "EUR", "token": "tok_approve"}
    assert (await shop.http.post("/charges", json=body)).status_code == 400
    assert (await shop.pay("tok_approve", cents=0)).status_code == 400
    assert (await shop.pay("tok_unheard_of")).status_code == 422


async def test_only_the_shop_gets_in(bank: BankClient) -> None:
    async with httpx.AsyncClient(base_url=bank.url) as client:
        assert (await client.get("/statement")).status_code == 401
        wrong = {"authorization": "Bearer guess"}
        assert (await client.get("/statement", headers=wrong)).status_code == 401


async def test_a_broken_bank_captures_nothing(shop: Shop) -> None:
    assert (await shop.pay("tok_down")).status_code == 503
    assert (await shop.charges(), await shop.lines()) == ([], [])


async def test_a_lost_answer_has_been_captured_all_the_same(shop: Shop) -> None:
    try:
        async with asyncio.timeout(0.4):
            await shop.pay("tok_timeout_then_success")
    except TimeoutError:
        pass
    assert [charge["state"] for charge in await shop.charges()] == ["captured"]


async def test_a_double_capture_sends_two_webhooks(shop: Shop, receiver: WebhookReceiver) -> None:
    await shop.pay("tok_success_twice")
    webhooks = await receiver.hears(2)
    assert len({webhook["charge"]["charge_id"] for webhook in webhooks}) == 2
    assert all(receiver.signatures_hold)
    assert len(await shop.lines()) == 2


async def test_a_webhook_may_come_before_the_response(
    shop: Shop, receiver: WebhookReceiver
) -> None:
    answer = await shop.pay("tok_webhook_first")
    # At least once: the sender's loop may find the same webhook due, and send it too.
    assert {webhook["charge"]["charge_id"] for webhook in receiver.heard} == {
        answer.json()["charge_id"]
    }


async def test_a_late_card_is_captured_in_its_time(shop: Shop, receiver: WebhookReceiver) -> None:
    assert (await shop.pay("tok_late")).json()["state"] == "pending"
    assert await shop.lines() == []
    assert (await receiver.hears(1))[0]["type"] == "charge.captured"
    assert [charge["state"] for charge in await shop.charges()] == ["captured"]


async def test_a_holder_confirms_on_a_page(shop: Shop, receiver: WebhookReceiver) -> None:
    waiting = (await shop.pay("tok_3ds")).json()
    assert waiting["state"] == "requires_confirmation"
    async with httpx.AsyncClient() as browser:
        page = await browser.get(waiting["confirm_url"])
        assert "12.00 EUR" in page.text
        decided = await browser.post(waiting["confirm_url"], data={"answer": "yes"})
        assert "captured" in decided.text
        again = await browser.post(waiting["confirm_url"], data={"answer": "no"})
        assert "captured" in again.text
    assert (await receiver.hears(1))[0]["type"] == "charge.captured"


@pytest.mark.parametrize(("currency", "written"), [("JPY", "1505 JPY"), ("KWD", "1.505 KWD")])
async def test_the_page_writes_amounts_with_the_currencys_own_decimals(
    shop: Shop, currency: str, written: str
) -> None:
    waiting = (await shop.pay("tok_3ds", cents=1505, currency=currency)).json()
    async with httpx.AsyncClient() as browser:
        assert f"Pay {written}?" in (await browser.get(waiting["confirm_url"])).text


async def test_a_currency_that_does_not_exist_is_refused(shop: Shop) -> None:
    assert (await shop.pay("tok_approve", currency="QQQ")).status_code == 400


async def test_a_holder_may_refuse(shop: Shop, receiver: WebhookReceiver) -> None:
    waiting = (await shop.pay("tok_3ds")).json()
    async with httpx.AsyncClient() as browser:
        await browser.post(waiting["confirm_url"], data={"answer": "no"})
    assert (await receiver.hears(1))[0]["charge"]["decline_code"] == "confirmation_declined"
    assert await shop.lines() == []


async def test_the_holder_returns_to_the_shop(shop: Shop) -> None:
    waiting = (await shop.pay("tok_3ds", return_url="http://shop/p")).json()
    async with httpx.AsyncClient() as browser:
        answer = await browser.post(waiting["confirm_url"], data={"answer": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, "http://shop/p")


async def test_a_waiting_charge_can_be_cancelled_but_a_late_one_not(
    shop: Shop,
) -> None:
    waiting = (await shop.pay("tok_3ds", "a")).json()["charge_id"]
    late = (await shop.pay("tok_late", "b")).json()["charge_id"]
    assert (await shop.http.post(f"/charges/{waiting}/cancel")).json()["state"] == "cancelled"
    assert (await shop.http.post(f"/charges/{late}/cancel")).json()["state"] == "pending"
    assert (await shop.http.post("/charges/ch_none/cancel")).status_code == 404


async def test_a_refund_is_done_once_and_never_exceeds_its_charge(shop: Shop) -> None:
    charge_id = (await shop.pay("tok_approve")).json()["charge_id"]
    order = {"refund_id": "r1", "charge_id": charge_id, "amount_cents": 700}
    answers = await asyncio.gather(*(shop.http.post("/refunds", json=order) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert (await shop.http.post("/refunds", json=order | {"amount_cents": 1})).status_code == 409
    assert (await shop.http.post("/refunds", json=order | {"refund_id": "r2"})).status_code == 422
    assert (await shop.http.post("/refunds", json=order | {"charge_id": "no"})).status_code == 404
    assert await shop.lines() == [("capture", "1", 1200), ("refund", "1", 700)]


async def test_a_repeated_order_is_answered_at_once(shop: Shop) -> None:
    first = asyncio.create_task(shop.pay("tok_timeout_then_success"))
    while not await shop.charges():  # noqa: ASYNC110 it is a test
        await asyncio.sleep(0.01)
    again = await shop.pay("tok_timeout_then_success")
    assert not first.done()
    assert again.json() == (await first).json()


async def test_the_statement_is_read_page_by_page(shop: Shop) -> None:
    for number in range(5):
        await shop.pay("tok_approve", f"p{number}")
    assert [line[1] for line in await shop.lines(page_size=2)] == ["p0", "p1", "p2", "p3", "p4"]


async def test_charges_survive_kill_9(own_bank_client: BankClient, prefix: str) -> None:
    receiver = WebhookReceiver(prefix)
    receiver.refusals_left = 10_000
    async with listening(own_bank_client.shop_port, receiver.receive_webhook):
        async with own_bank_client.client() as client:
            shop = Shop(client, prefix)
            await shop.pay("tok_approve", "a")
            await shop.pay("tok_success_twice", "b")
            await shop.pay("tok_late", "c")
        own_bank_client.kill()
        receiver.refusals_left = 3
        await asyncio.to_thread(own_bank_client.open)
        webhooks = await receiver.hears(3)
    received = Counter(webhook["charge"]["reference"].removeprefix(prefix) for webhook in webhooks)
    assert received == {"b": 2, "c": 1}
    async with own_bank_client.client() as client:
        shop = Shop(client, prefix)
        assert Counter(line[1] for line in await shop.lines()) == {"a": 1, "b": 2, "c": 1}
        first = (await shop.charges("a"))[0]["charge_id"]
        assert (await shop.pay("tok_approve", "a")).json()["charge_id"] == first


async def test_names_of_charges_rise_with_time_and_cannot_be_foreseen(tmp_path: Path) -> None:
    store = BankStore(tmp_path / "books.sqlite3", Delays())
    names = []
    for batch in range(3):
        taken = store.charge(
            [ChargeRequest(f"{batch}{at}", 1, "EUR", "tok_approve") for at in range(5)]
        )
        names.append([one.charge.charge_id for one in taken if isinstance(one, ChargeResult)])
        await asyncio.sleep(0.002)
    store.close()
    assert max(names[0]) < min(names[1]) <= max(names[1]) < min(names[2])
    assert len({name[-20:] for some in names for name in some}) == 15


async def test_an_unconfirmed_charge_ends_by_itself(tmp_path: Path, prefix: str) -> None:
    store = BankStore(tmp_path / "books.sqlite3", Delays(confirm_seconds=0.0))
    order = ChargeRequest(prefix, 1200, "EUR", "tok_3ds")
    (taken,) = store.charge([order])
    assert isinstance(taken, ChargeResult)
    assert store.process_due() == 1
    assert store.find(taken.charge.charge_id).state is BankChargeState.CANCELLED
    store.close()


async def test_the_bank_stops_cleanly_even_while_an_withholds_response(
    own_bank_client: BankClient, prefix: str
) -> None:
    async with own_bank_client.client() as client:
        shop = Shop(client, prefix)
        waiting = asyncio.create_task(shop.pay("tok_timeout_then_success"))
        while not await shop.charges():  # noqa: ASYNC110 it is a test
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(own_bank_client.stop) == 0
        assert (await waiting).status_code == 201
