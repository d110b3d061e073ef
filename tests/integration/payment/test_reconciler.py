"""Nothing stays undecided: kills between steps, lost holders, several sweepers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from cinesync.chassis import clock
from cinesync.payment import store
from cinesync.payment.model import Patience
from cinesync.payment.payment_processor import Cashier
from tests.integration.payment.conftest import PATIENCE, Till, eventually

pytestmark = pytest.mark.slow


async def killed(*_: object, **__: object) -> None:
    """What a process says that is killed at this point: nothing."""
    raise RuntimeError("killed here")


async def only_payment(till: Till) -> str:
    (row,) = await till.select("SELECT payment_id, status FROM payments")
    assert row.status == "pending"
    return str(row.payment_id)


async def test_a_kill_between_pending_and_the_provider_ends_as_failed(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(till.gateway), "charge", killed)
        assert (await till.pay()).status_code == 500
    payment_id = await only_payment(till)
    await till.sweep.ask_once()
    assert (await till.payment(payment_id))["failure_reason"] == "not_charged"
    await till.assert_books_are_whole()


async def test_a_customer_who_repeats_after_that_kill_pays_after_all(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_id = str(clock.new_id())
    with monkeypatch.context() as patch:
        patch.setattr(type(till.gateway), "charge", killed)
        await till.pay(key="k", hold_id=hold_id)
    payment_id = await only_payment(till)
    answer = await till.pay(key="k", hold_id=hold_id)
    assert (answer.status_code, answer.json()["payment_id"]) == (201, payment_id)
    assert answer.json()["status"] == "success"
    await till.assert_books_are_whole()


@pytest.mark.parametrize("who_asks", ["customer", "sweep"])
async def test_a_kill_between_the_provider_and_the_decision_ends_as_success(
    till: Till, monkeypatch: pytest.MonkeyPatch, who_asks: str
) -> None:
    hold_id = str(clock.new_id())
    with monkeypatch.context() as patch:
        patch.setattr(Cashier, "settle", killed)
        assert (await till.pay(key="k", hold_id=hold_id)).status_code == 500
    payment_id = await only_payment(till)
    assert len(await till.charges(payment_id)) == 1
    if who_asks == "customer":
        await till.pay(key="k", hold_id=hold_id)
    else:
        await till.sweep.ask_once()
    assert (await till.payment(payment_id))["status"] == "success"
    assert len(await till.charges(payment_id)) == 1
    await till.assert_books_are_whole()


async def test_a_payment_is_on_record_before_the_provider_hears_of_it(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def look(*_: object) -> None:
        seen.append(await only_payment(till))
        raise RuntimeError("seen enough")

    monkeypatch.setattr(type(till.gateway), "charge", look)
    await till.pay()
    assert len(seen) == 1


async def test_an_absent_charge_is_not_believed_too_early(till: Till) -> None:
    payment_id = (await till.pay("tok_down")).json()["payment_id"]
    overdue = await till.db.run(store.claim_overdue, "sandbox", PATIENCE, 60.0, 10)
    assert [(str(one.payment.payment_id), one.absence_counts) for one in overdue] == [
        (payment_id, False)
    ]
    overdue = await till.db.run(store.claim_overdue, "sandbox", PATIENCE, 0.0, 10)
    assert [one.absence_counts for one in overdue] == [True]


async def test_nobody_waits_for_a_card_holder_for_ever(till: Till) -> None:
    till.holds.expires_in_seconds = 0.0
    payment = (await till.pay("tok_3ds")).json()
    await till.sweep.ask_once()
    failed = await till.payment(payment["payment_id"])
    assert (failed["status"], failed["failure_reason"]) == ("failed", "confirmation_cancelled")
    assert (await till.bank.post(payment["confirm_url"], data={"answer": "yes"})).is_success
    assert [charge["state"] for charge in await till.charges(payment["payment_id"])] == [
        "cancelled"
    ]
    await till.assert_books_are_whole()


async def test_a_holder_has_until_the_end_of_the_hold(till: Till) -> None:
    payment = (await till.pay("tok_3ds")).json()
    await till.sweep.ask_once()
    assert (await till.payment(payment["payment_id"]))["status"] == "pending"
    await till.bank.post(payment["confirm_url"], data={"answer": "yes"})
    await till.sweep.ask_once()
    assert (await till.payment(payment["payment_id"]))["status"] == "success"


async def test_the_sweep_asks_first_shortly_before_the_hold_expires(till: Till) -> None:
    slow = Patience(first_check_seconds=300.0, retry_seconds=300.0, ask_before_seconds=15.0)
    till.cashier._patience = slow
    till.holds.expires_in_seconds = 120.0
    await till.pay("tok_3ds")
    (row,) = await till.select("SELECT hold_expires_at - next_check_at AS before FROM payments")
    assert row.before.total_seconds() == 15.0
    await till.change("UPDATE payments SET next_check_at = now()")
    await till.db.run(store.claim_overdue, "sandbox", slow, 0.0, 10)
    (row,) = await till.select("SELECT hold_expires_at - next_check_at AS before FROM payments")
    assert row.before.total_seconds() == 15.0


async def test_pauses_between_questions_grow(till: Till) -> None:
    patience = Patience(first_check_seconds=0.0, retry_seconds=10.0, ask_before_seconds=15.0)
    till.holds.expires_in_seconds = 10.0
    await till.pay("tok_down")
    pauses = []
    for _ in range(3):
        await till.change("UPDATE payments SET next_check_at = now()")
        await till.db.run(store.claim_overdue, "sandbox", patience, 0.0, 10)
        (row,) = await till.select("SELECT next_check_at - now() AS pause FROM payments")
        pauses.append(round(row.pause.total_seconds(), -1))
    assert pauses == [10.0, 20.0, 30.0]


async def test_several_sweepers_never_ask_about_one_payment_together(till: Till) -> None:
    await asyncio.gather(*(till.pay("tok_down") for _ in range(30)))
    patience = Patience(retry_seconds=60.0, ask_before_seconds=1.0)
    claims = await asyncio.gather(
        *(till.db.run(store.claim_overdue, "sandbox", patience, 0.0, 10) for _ in range(6))
    )
    claimed = [one.payment.payment_id for claim in claims for one in claim]
    assert len(claimed) == len(set(claimed)) == 30


async def test_a_sweep_takes_no_more_than_it_can_chew(till: Till) -> None:
    await asyncio.gather(*(till.pay("tok_down") for _ in range(25)))
    assert [await till.sweep.ask_once(), await till.sweep.ask_once()] == [20, 5]


async def test_the_sweep_runs_by_itself(till: Till) -> None:
    till.webhooks_open = False
    running = asyncio.create_task(till.sweep.run())
    paid = (await till.pay("tok_timeout_then_success")).json()["payment_id"]
    unpaid = (await till.pay("tok_down")).json()["payment_id"]
    await till.settled(paid, "success")
    await till.settled(unpaid, "failed")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await till.assert_books_are_whole()


async def test_two_who_decide_at_once_decide_once(till: Till) -> None:
    """The sweep, the webhook and the customer's own answer, all at the same moment."""
    payment_id = (await till.pay("tok_late")).json()["payment_id"]

    async def captured() -> bool | None:
        return (await till.charges(payment_id))[0]["state"] == "captured" or None

    await eventually(captured, "the bank captures")
    askers: list[Callable[[], Awaitable[int]]] = [till.sweep.ask_once] * 5
    await asyncio.gather(*(ask() for ask in askers))
    await till.settled(payment_id, "success")
    assert len(await till.events("payment.success")) == 1
    await till.assert_books_are_whole()
