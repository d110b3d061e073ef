"""A hold has one open or captured payment, and only so many attempts."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import httpx
import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.contracts.booking import BookingRefused
from cinesync.payment import service, store
from cinesync.payment.failure_limit import FailureLimit
from cinesync.payment.model import (
    Hold,
    Payment,
    PaymentLimits,
    PaymentUnderway,
    StartPayment,
    TooManyFailures,
)
from cinesync.payment.payment_processor import PaymentProcessor, PaymentRequest
from cinesync.payment.refunds import service as refund_service
from tests.integration.payment.conftest import RETRY_POLICY, BuildBeside, PaymentHarness, open_holds
from tests.support.bank import BankClient


def outcomes(answers: list[httpx.Response]) -> Counter[str]:
    """The status of each payment, or the name of the problem."""
    bodies = [answer.json() for answer in answers]
    return Counter(body.get("type", body["status"]) for body in bodies)


async def captured(harness: PaymentHarness) -> int:
    return len(await harness.select("SELECT charge_id FROM captures"))


async def test_twenty_payments_at_once_capture_once(
    harness: PaymentHarness, bank_client: BankClient, build_beside: BuildBeside
) -> None:
    other = build_beside(harness, bank_client)
    other.customer_id = harness.customer_id
    hold_id = str(clock.new_id())
    answers = await asyncio.gather(*(one.pay(hold_id=hold_id) for one in [harness, other] * 10))
    counted = outcomes(answers)
    assert counted["success"] == 1
    assert set(counted) <= {"success", "/problems/payment-underway", "/problems/already-paid"}
    assert await captured(harness) == 1
    assert await harness.select("SELECT refund_id FROM refunds") == []
    await harness.assert_money_is_conserved()


async def test_without_the_guard_of_the_hold_many_are_captured(harness: PaymentHarness) -> None:
    await harness.take_guard_off("DROP INDEX payments_one_per_hold")
    hold_id = str(clock.new_id())
    await asyncio.gather(*(harness.pay(hold_id=hold_id) for _ in range(5)))
    # In one batch only the first for a hold is tried; one after the other they all are.
    for _ in range(5):
        await harness.pay(hold_id=hold_id)
    assert await captured(harness) > 1


async def test_a_second_payment_gets_the_booking_of_the_first(harness: PaymentHarness) -> None:
    paid = (await harness.pay()).json()
    second = await harness.pay(hold_id=paid["hold_id"])
    assert (second.status_code, second.json()["type"]) == (409, "/problems/already-paid")
    assert second.json()["title"] == "These seats are paid for already: the booking exists."
    assert second.json()["booking_id"] == paid["hold_id"]
    assert second.json()["payment_id"] == paid["payment_id"]


async def test_a_second_payment_is_refused_while_the_first_is_pending(
    harness: PaymentHarness,
) -> None:
    first = (await harness.pay("tok_down")).json()
    second = await harness.pay(hold_id=first["hold_id"])
    assert (second.status_code, second.json()["type"]) == (409, "/problems/payment-underway")
    assert second.json()["payment_id"] == first["payment_id"]
    await harness.reconciler.poll_once()
    assert (await harness.pay(hold_id=first["hold_id"])).json()["status"] == "success"


async def test_after_a_declined_card_another_may_be_tried(harness: PaymentHarness) -> None:
    declined = (await harness.pay("tok_decline")).json()
    assert (await harness.pay(hold_id=declined["hold_id"])).json()["status"] == "success"
    await harness.assert_money_is_conserved()


async def test_another_card_takes_the_place_of_one_that_waits_for_its_holder(
    harness: PaymentHarness,
) -> None:
    waiting = (await harness.pay("tok_3ds")).json()
    second = (await harness.pay(hold_id=waiting["hold_id"])).json()
    assert second["status"] == "success"
    given_up = await harness.payment(waiting["payment_id"])
    assert (given_up["status"], given_up["failure_reason"]) == ("failed", "confirmation_cancelled")
    assert await captured(harness) == 1


async def test_a_holder_who_confirmed_meanwhile_has_paid(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.webhooks_open = False
    waiting = (await harness.pay("tok_3ds")).json()
    assert (await harness.bank.post(waiting["confirm_url"], data={"answer": "yes"})).is_success
    second = await harness.pay(hold_id=waiting["hold_id"])
    assert (second.status_code, second.json()["type"]) == (409, "/problems/already-paid")
    assert await captured(harness) == 1


async def test_a_refunded_payment_leaves_the_hold_free(harness: PaymentHarness) -> None:
    paid = (await harness.pay()).json()
    refusal = BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=UUID(paid["payment_id"]),
        hold_id=UUID(paid["hold_id"]),
        customer_id=harness.customer_id,
        refund_cents=2400,
        currency="EUR",
        reason="released_show",
    )
    await harness.db.run(refund_service.refund_bookings, [refusal])
    assert (await harness.pay(hold_id=paid["hold_id"])).status_code == 409
    await harness.refund_all()
    assert (await harness.pay(hold_id=paid["hold_id"])).json()["status"] == "success"
    await harness.assert_money_is_conserved()


async def test_a_hold_takes_only_so_many_failures(harness: PaymentHarness) -> None:
    harness.processor._limits = PaymentLimits(attempts_per_hold=3)
    hold_id = str(clock.new_id())
    answers = [await harness.pay("tok_decline", hold_id=hold_id) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert answers[-1].json()["type"] == "/problems/too-many-attempts"
    assert (await harness.pay("tok_approve", hold_id=hold_id)).status_code == 429
    assert await captured(harness) == 0
    assert (await harness.pay()).json()["status"] == "success", "another hold is another matter"
    await harness.assert_money_is_conserved()


async def test_a_repeated_key_is_answered_also_when_the_hold_takes_no_more(
    harness: PaymentHarness,
) -> None:
    harness.processor._limits = PaymentLimits(attempts_per_hold=1)
    hold_id = str(clock.new_id())
    answers = [await harness.pay("tok_decline", key="k", hold_id=hold_id) for _ in range(3)]
    assert len({answer.json()["payment_id"] for answer in answers}) == 1


async def test_an_address_fails_only_so_often(harness: PaymentHarness) -> None:
    limits = PaymentLimits(failures_per_address=3)
    harness.processor = PaymentProcessor(
        harness.db, {"sandbox": harness.gateway}, open_holds(harness.holds), RETRY_POLICY, limits
    )
    for _ in range(3):
        await harness.processor.pay(order_of(harness, "tok_decline", "192.0.2.1"))
    with pytest.raises(TooManyFailures):
        await harness.processor.pay(order_of(harness, "tok_approve", "192.0.2.1"))
    assert (
        await harness.processor.pay(order_of(harness, "tok_approve", "192.0.2.2"))
    ).status == "success"
    await harness.processor.close()


def order_of(harness: PaymentHarness, token: str, address: str) -> PaymentRequest:
    return PaymentRequest(
        customer_id=harness.customer_id,
        bearer="token",
        idempotency_key=str(clock.new_id()),
        hold_id=clock.new_id(),
        provider="sandbox",
        token=token,
        address=address,
    )


def test_failures_are_forgotten_after_their_window() -> None:
    now = [0.0]
    limit = FailureLimit(
        PaymentLimits(failures_per_address=2, failure_window_seconds=60.0), lambda: now[0]
    )
    for now[0] in (0.0, 50.0):
        limit.check("192.0.2.1")
        limit.record("192.0.2.1")
    with pytest.raises(TooManyFailures) as refusal:
        limit.check("192.0.2.1")
    assert refusal.value.members == {"retry_after_seconds": 11}
    limit.check("192.0.2.2")
    now[0] = 61.0
    limit.check("192.0.2.1")


def begin_of(
    harness: PaymentHarness, hold: Hold, key: str, provider: str = "sandbox"
) -> StartPayment:
    return StartPayment(
        payment_id=clock.new_id(),
        customer_id=harness.customer_id,
        idempotency_key=key,
        fingerprint=f"{hold.hold_id}",
        hold=hold,
        provider=provider,
    )


async def test_a_batch_decides_in_the_order_of_arrival(harness: PaymentHarness) -> None:
    hold = Hold(hold_id=clock.new_id(), total_cents=2400, currency="EUR", expires_at=clock.now())
    first, second = begin_of(harness, hold, "b"), begin_of(harness, hold, "a")
    begun = await harness.db.run(service.start_payments, [first, second, first], RETRY_POLICY)
    assert isinstance(begun[0], Payment)
    assert begun[0] == begun[2]
    assert begun[0].payment_id == first.payment_id
    assert isinstance(begun[1], PaymentUnderway)


async def test_a_repetition_in_a_batch_does_not_take_the_others_turn(
    harness: PaymentHarness,
) -> None:
    """`old` repeats a payment that failed: it is answered, and `new` begins."""
    declined = (await harness.pay("tok_decline", key="old")).json()
    hold = Hold(
        hold_id=UUID(declined["hold_id"]),
        total_cents=2400,
        currency="EUR",
        expires_at=clock.now(),
    )
    old, new = begin_of(harness, hold, "old"), begin_of(harness, hold, "new")
    begun = await harness.db.run(service.start_payments, [old, new], RETRY_POLICY)
    assert isinstance(begun[0], Exception), "another fingerprint"
    assert isinstance(begun[1], Payment)
    assert begun[1].payment_id == new.payment_id


async def test_a_new_payment_is_one_statement(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look-up for the guard of the hold: the insert itself says whether it is free."""
    executed: list[object] = []
    execute = Transaction.execute

    async def counted(tx: Transaction, statement: Any, *args: Any) -> Any:
        executed.append(statement)
        return await execute(tx, statement, *args)

    monkeypatch.setattr(Transaction, "execute", counted)
    hold = Hold(hold_id=clock.new_id(), total_cents=2400, currency="EUR", expires_at=clock.now())
    await harness.db.run(service.start_payments, [begin_of(harness, hold, "k")], RETRY_POLICY)
    assert executed == [store.INSERT]


async def test_what_costs_nothing_is_confirmed_without_a_provider(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.holds.total_cents = 0

    async def unasked(*_: object) -> None:
        raise AssertionError("no provider is asked for nothing")

    monkeypatch.setattr(type(harness.gateway), "charge", unasked)
    hold_id = str(clock.new_id())
    answers = [await harness.pay(token="", key="k", hold_id=hold_id, provider="") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    payment = answers[0].json()
    assert payment == answers[1].json()
    assert (payment["status"], payment["provider"], payment["amount_cents"]) == (
        "success",
        "free",
        0,
    )
    assert payment["settled_at"] is not None
    (event,) = await harness.events()
    assert (event["name"], event["amount_cents"]) == ("payment.success", 0)
    assert (await harness.pay(hold_id=hold_id)).json()["type"] == "/problems/already-paid"
    await harness.assert_money_is_conserved()


async def test_nobody_gets_a_priced_seat_for_free(harness: PaymentHarness) -> None:
    assert (await harness.pay(provider="free")).json()["type"] == "/problems/unknown-provider"
    missing = await harness.pay(token="")
    assert (missing.status_code, missing.json()["type"]) == (422, "/problems/token-missing")
    assert await harness.select("SELECT payment_id FROM payments") == []


async def test_a_payment_without_a_provider_uses_the_shops(harness: PaymentHarness) -> None:
    assert (await harness.pay(provider="")).json()["provider"] == "sandbox"
