"""Nothing stays undecided: kills between steps, lost holders, several sweepers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from cinesync.chassis import clock
from cinesync.payment import store
from cinesync.payment.model import RetryPolicy
from cinesync.payment.payment_processor import PaymentProcessor
from tests.integration.payment.conftest import RETRY_POLICY, PaymentHarness, eventually

pytestmark = pytest.mark.slow


async def killed(*_: object, **__: object) -> None:
    """What a process says that is killed at this point: nothing."""
    raise RuntimeError("killed here")


async def only_payment(harness: PaymentHarness) -> str:
    (row,) = await harness.select("SELECT payment_id, status FROM payments")
    assert row.status == "pending"
    return str(row.payment_id)


async def test_a_kill_between_pending_and_the_provider_ends_as_failed(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(harness.gateway), "charge", killed)
        assert (await harness.pay()).status_code == 500
    payment_id = await only_payment(harness)
    await harness.reconciler.poll_once()
    assert (await harness.payment(payment_id))["failure_reason"] == "not_charged"
    await harness.assert_money_is_conserved()


async def test_a_customer_who_repeats_after_that_kill_pays_after_all(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_id = str(clock.new_id())
    with monkeypatch.context() as patch:
        patch.setattr(type(harness.gateway), "charge", killed)
        await harness.pay(key="k", hold_id=hold_id)
    payment_id = await only_payment(harness)
    answer = await harness.pay(key="k", hold_id=hold_id)
    assert (answer.status_code, answer.json()["payment_id"]) == (201, payment_id)
    assert answer.json()["status"] == "success"
    await harness.assert_money_is_conserved()


@pytest.mark.parametrize("who_asks", ["customer", "sweep"])
async def test_a_kill_between_the_provider_and_the_decision_ends_as_success(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch, who_asks: str
) -> None:
    hold_id = str(clock.new_id())
    with monkeypatch.context() as patch:
        patch.setattr(PaymentProcessor, "decide", killed)
        assert (await harness.pay(key="k", hold_id=hold_id)).status_code == 500
    payment_id = await only_payment(harness)
    assert len(await harness.charges(payment_id)) == 1
    if who_asks == "customer":
        await harness.pay(key="k", hold_id=hold_id)
    else:
        await harness.reconciler.poll_once()
    assert (await harness.payment(payment_id))["status"] == "success"
    assert len(await harness.charges(payment_id)) == 1
    await harness.assert_money_is_conserved()


async def test_a_payment_is_on_record_before_the_provider_hears_of_it(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def look(*_: object) -> None:
        seen.append(await only_payment(harness))
        raise RuntimeError("seen enough")

    monkeypatch.setattr(type(harness.gateway), "charge", look)
    await harness.pay()
    assert len(seen) == 1


async def test_an_absent_charge_is_not_believed_too_early(harness: PaymentHarness) -> None:
    payment_id = (await harness.pay("tok_down")).json()["payment_id"]
    overdue = await harness.db.run(store.claim_overdue, "sandbox", RETRY_POLICY, 60.0, 10)
    assert [(str(one.payment.payment_id), one.absence_counts) for one in overdue] == [
        (payment_id, False)
    ]
    overdue = await harness.db.run(store.claim_overdue, "sandbox", RETRY_POLICY, 0.0, 10)
    assert [one.absence_counts for one in overdue] == [True]


async def test_nobody_waits_for_a_card_holder_for_ever(harness: PaymentHarness) -> None:
    harness.holds.expires_in_seconds = 0.0
    payment = (await harness.pay("tok_3ds")).json()
    await harness.reconciler.poll_once()
    failed = await harness.payment(payment["payment_id"])
    assert (failed["status"], failed["failure_reason"]) == ("failed", "confirmation_cancelled")
    assert (await harness.bank.post(payment["confirm_url"], data={"answer": "yes"})).is_success
    assert [charge["state"] for charge in await harness.charges(payment["payment_id"])] == [
        "cancelled"
    ]
    await harness.assert_money_is_conserved()


async def test_a_holder_has_until_the_end_of_the_hold(harness: PaymentHarness) -> None:
    payment = (await harness.pay("tok_3ds")).json()
    await harness.reconciler.poll_once()
    assert (await harness.payment(payment["payment_id"]))["status"] == "pending"
    await harness.bank.post(payment["confirm_url"], data={"answer": "yes"})
    await harness.reconciler.poll_once()
    assert (await harness.payment(payment["payment_id"]))["status"] == "success"


async def test_the_reconciler_polls_first_shortly_before_the_hold_expires(
    harness: PaymentHarness,
) -> None:
    slow = RetryPolicy(first_check_seconds=300.0, retry_seconds=300.0, ask_before_seconds=15.0)
    harness.processor._retry_policy = slow
    harness.holds.expires_in_seconds = 120.0
    await harness.pay("tok_3ds")
    (row,) = await harness.select("SELECT hold_expires_at - next_check_at AS before FROM payments")
    assert row.before.total_seconds() == 15.0
    await harness.change("UPDATE payments SET next_check_at = now()")
    await harness.db.run(store.claim_overdue, "sandbox", slow, 0.0, 10)
    (row,) = await harness.select("SELECT hold_expires_at - next_check_at AS before FROM payments")
    assert row.before.total_seconds() == 15.0


async def test_pauses_between_questions_grow(harness: PaymentHarness) -> None:
    retry_policy = RetryPolicy(first_check_seconds=0.0, retry_seconds=10.0, ask_before_seconds=15.0)
    harness.holds.expires_in_seconds = 10.0
    await harness.pay("tok_down")
    pauses = []
    for _ in range(3):
        await harness.change("UPDATE payments SET next_check_at = now()")
        await harness.db.run(store.claim_overdue, "sandbox", retry_policy, 0.0, 10)
        (row,) = await harness.select("SELECT next_check_at - now() AS pause FROM payments")
        pauses.append(round(row.pause.total_seconds(), -1))
    assert pauses == [10.0, 20.0, 30.0]


async def test_several_reconcilers_never_poll_for_one_payment_together(
    harness: PaymentHarness,
) -> None:
    await asyncio.gather(*(harness.pay("tok_down") for _ in range(30)))
    retry_policy = RetryPolicy(retry_seconds=60.0, ask_before_seconds=1.0)
    claims = await asyncio.gather(
        *(harness.db.run(store.claim_overdue, "sandbox", retry_policy, 0.0, 10) for _ in range(6))
    )
    claimed = [one.payment.payment_id for claim in claims for one in claim]
    assert len(claimed) == len(set(claimed)) == 30


async def test_a_reconciler_claims_a_limited_batch(harness: PaymentHarness) -> None:
    await asyncio.gather(*(harness.pay("tok_down") for _ in range(25)))
    assert [await harness.reconciler.poll_once(), await harness.reconciler.poll_once()] == [20, 5]


async def test_the_reconciler_runs_by_itself(harness: PaymentHarness) -> None:
    harness.webhooks_open = False
    running = asyncio.create_task(harness.reconciler.run())
    paid = (await harness.pay("tok_timeout_then_success")).json()["payment_id"]
    unpaid = (await harness.pay("tok_down")).json()["payment_id"]
    await harness.settled(paid, "success")
    await harness.settled(unpaid, "failed")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await harness.assert_money_is_conserved()


async def test_two_concurrent_decisions_decide_once(harness: PaymentHarness) -> None:
    """The sweep, the webhook and the customer's own answer, all at the same now."""
    payment_id = (await harness.pay("tok_late")).json()["payment_id"]

    async def captured() -> bool | None:
        return (await harness.charges(payment_id))[0]["state"] == "captured" or None

    await eventually(captured, "the bank captures")
    askers: list[Callable[[], Awaitable[int]]] = [harness.reconciler.poll_once] * 5
    await asyncio.gather(*(ask() for ask in askers))
    await harness.settled(payment_id, "success")
    assert len(await harness.events("payment.success")) == 1
    await harness.assert_money_is_conserved()
