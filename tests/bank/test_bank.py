"""The bank over HTTP, as a process that can be killed."""

import asyncio
from collections import Counter
from typing import Any

import httpx

from tests.bank.conftest import Ear
from tests.bank.teller import Teller


async def pay(
    shop: httpx.AsyncClient, token: str, key: str = "payment-1", cents: int = 1200
) -> httpx.Response:
    body = {"amount_cents": cents, "currency": "EUR", "token": token}
    return await shop.post("/charges", json=body, headers={"idempotency-key": key})


async def lines(shop: httpx.AsyncClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await shop.get("/statement")).json()["items"]
    return items


async def charges(shop: httpx.AsyncClient, key: str = "payment-1") -> list[dict[str, Any]]:
    answer = await shop.get("/charges", params={"reference": key})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_approved_card_is_captured_at_once(shop: httpx.AsyncClient) -> None:
    answer = await pay(shop, "tok_approve")
    assert (answer.status_code, answer.json()["state"]) == (201, "captured")
    assert [line["amount_cents"] for line in await lines(shop)] == [1200]


async def test_declined_cards_say_why_and_move_no_money(shop: httpx.AsyncClient) -> None:
    first = (await pay(shop, "tok_decline", "a")).json()
    second = (await pay(shop, "tok_insufficient_funds", "b")).json()
    assert first["decline_code"] == "card_declined"
    assert second["decline_code"] == "insufficient_funds"
    assert await lines(shop) == []


async def test_the_same_key_gives_the_same_charge(shop: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(pay(shop, "tok_approve") for _ in range(20)))
    assert len({answer.json()["charge_id"] for answer in answers}) == 1
    assert len(await lines(shop)) == 1


async def test_the_same_key_with_other_parameters_is_refused(shop: httpx.AsyncClient) -> None:
    await pay(shop, "tok_approve")
    assert (await pay(shop, "tok_approve", cents=1300)).status_code == 409
    assert (await pay(shop, "tok_decline")).status_code == 409


async def test_a_key_is_required_and_amounts_are_positive(shop: httpx.AsyncClient) -> None:
    body = {"amount_cents": 1, "currency": "EUR", "token": "tok_approve"}
    assert (await shop.post("/charges", json=body)).status_code == 400
    assert (await pay(shop, "tok_approve", cents=0)).status_code == 400
    assert (await pay(shop, "tok_unheard_of")).status_code == 422


async def test_only_the_shop_gets_in(teller: Teller) -> None:
    async with httpx.AsyncClient(base_url=teller.url) as stranger:
        assert (await stranger.get("/statement")).status_code == 401
        wrong = {"authorization": "Bearer guess"}
        assert (await stranger.get("/statement", headers=wrong)).status_code == 401


async def test_a_broken_bank_captures_nothing(shop: httpx.AsyncClient) -> None:
    assert (await pay(shop, "tok_down")).status_code == 503
    assert (await charges(shop), await lines(shop)) == ([], [])


async def test_a_lost_answer_has_been_captured_all_the_same(shop: httpx.AsyncClient) -> None:
    try:
        async with asyncio.timeout(0.4):
            await pay(shop, "tok_timeout_then_success")
    except TimeoutError:
        pass
    assert [charge["state"] for charge in await charges(shop)] == ["captured"]


async def test_a_double_capture_sends_two_notices(shop: httpx.AsyncClient, ear: Ear) -> None:
    await pay(shop, "tok_success_twice")
    notices = await ear.hears(2)
    assert len({notice["charge"]["charge_id"] for notice in notices}) == 2
    assert {notice["charge"]["reference"] for notice in notices} == {"payment-1"}
    assert all(ear.signatures_hold)
    assert len(await lines(shop)) == 2


async def test_a_notice_may_come_before_the_answer(shop: httpx.AsyncClient, ear: Ear) -> None:
    answer = await pay(shop, "tok_webhook_first")
    assert [notice["charge"]["charge_id"] for notice in ear.heard] == [answer.json()["charge_id"]]


async def test_a_late_card_is_captured_in_its_time(shop: httpx.AsyncClient, ear: Ear) -> None:
    assert (await pay(shop, "tok_late")).json()["state"] == "pending"
    assert await lines(shop) == []
    assert (await ear.hears(1))[0]["type"] == "charge.captured"
    assert [charge["state"] for charge in await charges(shop)] == ["captured"]


async def test_a_holder_confirms_on_a_page(shop: httpx.AsyncClient, ear: Ear) -> None:
    waiting = (await pay(shop, "tok_3ds")).json()
    assert waiting["state"] == "requires_confirmation"
    async with httpx.AsyncClient() as browser:
        page = await browser.get(waiting["confirm_url"])
        assert "12.00 EUR" in page.text
        decided = await browser.post(waiting["confirm_url"], data={"answer": "yes"})
        assert "captured" in decided.text
        again = await browser.post(waiting["confirm_url"], data={"answer": "no"})
        assert "captured" in again.text
    assert (await ear.hears(1))[0]["type"] == "charge.captured"


async def test_a_holder_may_refuse(shop: httpx.AsyncClient, ear: Ear) -> None:
    waiting = (await pay(shop, "tok_3ds")).json()
    async with httpx.AsyncClient() as browser:
        await browser.post(waiting["confirm_url"], data={"answer": "no"})
    assert (await ear.hears(1))[0]["charge"]["decline_code"] == "confirmation_declined"
    assert await lines(shop) == []


async def test_the_holder_returns_to_the_shop(shop: httpx.AsyncClient) -> None:
    body = {"amount_cents": 5, "currency": "EUR", "token": "tok_3ds", "return_url": "http://shop/p"}
    waiting = (await shop.post("/charges", json=body, headers={"idempotency-key": "r"})).json()
    async with httpx.AsyncClient() as browser:
        answer = await browser.post(waiting["confirm_url"], data={"answer": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, "http://shop/p")


async def test_a_waiting_charge_can_be_cancelled_but_a_late_one_not(
    shop: httpx.AsyncClient,
) -> None:
    waiting = (await pay(shop, "tok_3ds", "a")).json()["charge_id"]
    late = (await pay(shop, "tok_late", "b")).json()["charge_id"]
    assert (await shop.post(f"/charges/{waiting}/cancel")).json()["state"] == "cancelled"
    assert (await shop.post(f"/charges/{late}/cancel")).json()["state"] == "pending"
    assert (await shop.post("/charges/ch_none/cancel")).status_code == 404


async def test_an_unconfirmed_charge_ends_by_itself(teller: Teller, ear: Ear) -> None:
    teller.kill()
    teller.confirm_seconds = 0.1
    await teller.open()
    async with teller.client() as shop:
        await pay(shop, "tok_3ds")
    assert (await ear.hears(1))[0]["type"] == "charge.cancelled"


async def test_a_refund_is_done_once_and_never_exceeds_its_charge(shop: httpx.AsyncClient) -> None:
    charge_id = (await pay(shop, "tok_approve")).json()["charge_id"]
    order = {"refund_id": "r1", "charge_id": charge_id, "amount_cents": 700}
    answers = await asyncio.gather(*(shop.post("/refunds", json=order) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert (await shop.post("/refunds", json=order | {"amount_cents": 1})).status_code == 409
    assert (await shop.post("/refunds", json=order | {"refund_id": "r2"})).status_code == 422
    assert (await shop.post("/refunds", json=order | {"charge_id": "no"})).status_code == 404
    assert [line["kind"] for line in await lines(shop)] == ["capture", "refund"]


async def test_the_statement_is_read_page_by_page(shop: httpx.AsyncClient) -> None:
    for number in range(5):
        await pay(shop, "tok_approve", f"p{number}")
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = (await shop.get("/statement", params={"after": after, "limit": 2})).json()
        seen += [line["reference"] for line in page["items"]]
        after = page["next"]
    assert seen == ["p0", "p1", "p2", "p3", "p4"]


async def test_the_books_survive_kill_9(teller: Teller, ear: Ear) -> None:
    ear.refusals_left = 10_000
    async with teller.client() as shop:
        await pay(shop, "tok_approve", "a")
        await pay(shop, "tok_success_twice", "b")
        await pay(shop, "tok_late", "c")
    teller.kill()
    ear.refusals_left = 3
    await teller.open()
    notices = await ear.hears(3)
    told = Counter(notice["charge"]["reference"] for notice in notices)
    assert told == {"b": 2, "c": 1}
    async with teller.client() as shop:
        assert Counter(line["reference"] for line in await lines(shop)) == {"a": 1, "b": 2, "c": 1}
        first = (await charges(shop, "a"))[0]["charge_id"]
        assert (await pay(shop, "tok_approve", "a")).json()["charge_id"] == first


async def test_the_bank_stops_cleanly(teller: Teller) -> None:
    assert teller.stop() == 0
