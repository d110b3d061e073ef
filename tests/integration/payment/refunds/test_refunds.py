"""Money going back: on events, on surplus, through outages, never twice, never too much."""

import asyncio
from uuid import UUID

import pytest
from asyncpg import IntegrityConstraintViolationError

from cinesync.chassis import clock
from cinesync.chassis.problems import Problem
from cinesync.contracts.booking import BookingCancelled, BookingReduced, BookingRefused
from cinesync.payment.gateways import GatewayAway
from cinesync.payment.model import Refund, RefundStatus
from cinesync.payment.refunds import model as refund_model
from cinesync.payment.refunds import service as refund_service
from cinesync.payment.refunds import store as refund_store
from cinesync.payment.refunds.model import RefundCause
from tests.integration.payment.conftest import BuildBeside, MakeHarness, PaymentHarness, eventually
from tests.integration.payment.webhooks import webhook
from tests.support.bank import BankClient

pytestmark = pytest.mark.slow


def refused(payment: dict[str, str], cents: int = 2400) -> BookingRefused:
    return BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=UUID(payment["payment_id"]),
        hold_id=UUID(payment["hold_id"]),
        customer_id=clock.new_id(),
        refund_cents=cents,
        currency="EUR",
        reason="seats_gone",
    )


def cancelled(payment: dict[str, str], cents: int) -> BookingCancelled:
    return BookingCancelled(
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


async def bank_refunds(harness: PaymentHarness) -> list[int]:
    """What the bank gave back for this test's payments."""
    mine = {str(row.charge_id) for row in await harness.select("SELECT charge_id FROM captures")}
    lines = (await harness.bank.get("/statement")).json()["items"]
    return [
        line["amount_cents"]
        for line in lines
        if line["kind"] == "refund" and line["charge_id"] in mine
    ]


async def test_the_payment_of_a_refused_booking_is_refunded(harness: PaymentHarness) -> None:
    payment = (await harness.pay()).json()
    await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    await harness.refund_all()
    assert (await harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert await bank_refunds(harness) == [2400]
    (event,) = await harness.events("payment.refunded")
    assert (event["amount_cents"], event["reason"]) == (2400, "seats_gone")
    assert event["hold_id"] == payment["hold_id"]
    await harness.assert_money_is_conserved()


async def test_a_partly_refunded_cancellation_keeps_the_rest(harness: PaymentHarness) -> None:
    payment = (await harness.pay()).json()
    await harness.db.run(refund_service.refund_bookings, [cancelled(payment, 1000)])
    await harness.refund_all()
    partly = await harness.payment(payment["payment_id"])
    assert (partly["status"], partly["refunded_cents"]) == ("partially_refunded", 1000)
    await harness.db.run(refund_service.refund_bookings, [cancelled(payment, 9999)])
    await harness.refund_all()
    assert (await harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert sorted(await bank_refunds(harness)) == [1000, 1400]
    await harness.assert_money_is_conserved()


def reduced(payment: dict[str, str], cents: int) -> BookingReduced:
    return BookingReduced(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        reduction_id=clock.new_id(),
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


async def test_a_payment_is_refunded_in_parts_each_once(harness: PaymentHarness) -> None:
    payment = (await harness.pay()).json()
    first, second = reduced(payment, 800), reduced(payment, 800)
    for _ in range(2):
        await harness.db.run(refund_service.refund_bookings, [first, second])
        await harness.db.run(refund_service.refund_bookings, [first])
        await harness.refund_all()
    partly = await harness.payment(payment["payment_id"])
    assert (partly["status"], partly["refunded_cents"]) == ("partially_refunded", 1600)
    await harness.db.run(refund_service.refund_bookings, [cancelled(payment, 800)])
    await harness.refund_all()
    assert (await harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert await bank_refunds(harness) == [800, 800, 800]
    assert len(await harness.events("payment.refunded")) == 3
    await harness.assert_money_is_conserved()


async def test_one_event_refunds_once_however_often_it_comes(harness: PaymentHarness) -> None:
    payment = (await harness.pay()).json()
    event = cancelled(payment, 1000)
    for _ in range(3):
        await harness.db.run(refund_service.refund_bookings, [event, event])
    await harness.refund_all()
    assert await bank_refunds(harness) == [1000]
    assert len(await harness.events("payment.refunded")) == 1


async def test_many_requests_in_one_batch_share_what_is_left(harness: PaymentHarness) -> None:
    payment = (await harness.pay()).json()
    asks = [cancelled(payment, 1500), cancelled(payment, 1500), cancelled(payment, 1500)]
    await harness.db.run(refund_service.refund_bookings, asks)
    await harness.refund_all()
    assert sorted(await bank_refunds(harness)) == [900, 1500]
    await harness.assert_money_is_conserved()


async def test_without_the_rule_the_database_still_refuses_to_give_too_much(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generous(payment: object, ask: object, refund_id: UUID) -> Refund:
        return Refund(
            refund_id=refund_id,
            source=str(refund_id),
            payment_id=payment.payment_id,  # type: ignore[attr-defined]
            provider="sandbox",
            charge_id="ch",
            amount_cents=2401,
            currency="EUR",
            reason="kindness",
        )

    monkeypatch.setattr(refund_service, "refund_for", generous)
    payment = (await harness.pay()).json()
    with pytest.raises(IntegrityConstraintViolationError, match="payments_refunds"):
        await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    await harness.take_guard_off("ALTER TABLE payments DROP CONSTRAINT payments_refunds")
    await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    assert len(await harness.select("SELECT refund_id FROM refunds")) == 1


async def test_without_the_rule_the_source_is_still_unique(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgetful(*_: object) -> set[str]:
        return set()

    monkeypatch.setattr(refund_store, "refund_sources", forgetful)
    payment = (await harness.pay()).json()
    event = cancelled(payment, 100)
    await harness.db.run(refund_service.refund_bookings, [event])
    with pytest.raises(IntegrityConstraintViolationError, match="refunds_source_key"):
        await harness.db.run(refund_service.refund_bookings, [event])
    await harness.take_guard_off("ALTER TABLE refunds DROP CONSTRAINT refunds_source_key")
    await harness.db.run(refund_service.refund_bookings, [event])
    await harness.refund_all()
    assert await bank_refunds(harness) == [100, 100]


async def test_a_refund_for_an_undecided_or_unknown_payment_waits_for_another_try(
    harness: PaymentHarness,
) -> None:
    pending = (await harness.pay("tok_down")).json()
    unknown = {"payment_id": str(clock.new_id()), "hold_id": str(clock.new_id())}
    for payment in (pending, unknown):
        with pytest.raises(Problem):
            await harness.db.run(refund_service.refund_bookings, [refused(payment)])


async def test_a_failed_payment_has_nothing_to_refund(harness: PaymentHarness) -> None:
    payment = (await harness.pay("tok_decline")).json()
    await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    assert await harness.select("SELECT refund_id FROM refunds") == []


async def test_a_capture_after_the_failure_is_refunded(
    harness: PaymentHarness,
) -> None:
    harness.webhooks_open = False
    payment_id = (await harness.pay("tok_late")).json()["payment_id"]
    # As when the bank did not know the charge yet at the now it was asked.
    await harness.change("UPDATE payments SET status = 'failed', failure_reason = 'not_charged'")
    harness.webhooks_open = True

    async def refunded() -> bool | None:
        return bool(await harness.select("SELECT refund_id FROM refunds")) or None

    await eventually(refunded, "the late capture is seen")
    await harness.refund_all()
    assert (await harness.payment(payment_id))["status"] == "failed"
    assert await bank_refunds(harness) == [2400]
    (event,) = await harness.events("payment.refunded")
    assert event["reason"] == "captured_after_failure"
    await harness.assert_money_is_conserved()


async def test_refunds_wait_for_a_bank_that_is_away(
    make_harness: MakeHarness, own_bank_client: BankClient
) -> None:
    harness = await make_harness(own_bank_client)
    payment = (await harness.pay()).json()
    own_bank_client.kill()
    await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    assert await harness.reconciler.refund_once() == 1
    (refund,) = await harness.select("SELECT status, attempts, last_error FROM refunds")
    assert (refund.status, refund.attempts) == ("pending", 1)
    assert "Cannot connect" in refund.last_error
    await asyncio.to_thread(own_bank_client.open)
    await harness.refund_all()
    assert await bank_refunds(harness) == [2400]
    assert len(await harness.events("payment.refunded")) == 1


async def test_a_refund_whose_answer_was_lost_is_done_once(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = (await harness.pay()).json()
    await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    answer = type(harness.gateway).refund

    async def lost(gateway: object, refund: Refund) -> None:
        await answer(gateway, refund)  # type: ignore[arg-type]
        raise GatewayAway("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(harness.gateway), "refund", lost)
        await harness.reconciler.refund_once()
    assert (await harness.payment(payment["payment_id"]))["status"] == "success"
    await harness.refund_all()
    assert (await harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert await bank_refunds(harness) == [2400]


async def test_a_refund_is_counted_and_published_once_whoever_finishes_it(
    harness: PaymentHarness,
) -> None:
    payment = (await harness.pay()).json()
    await harness.db.run(refund_service.refund_bookings, [refused(payment)])
    (refund,) = await harness.db.run(refund_store.claim_refunds, "sandbox", 0.0, 1.0, 10)
    done = await harness.gateway.refund(refund)
    await asyncio.gather(
        *(harness.db.run(refund_service.apply_refunds, [done, done]) for _ in range(5))
    )
    assert len(await harness.events("payment.refunded")) == 1
    assert (await harness.payment(payment["payment_id"]))["refunded_cents"] == 2400


async def test_without_the_table_of_refunds_one_is_counted_twice(
    harness: PaymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = (await harness.pay()).json()
    await harness.db.run(refund_service.refund_bookings, [cancelled(payment, 1000)])
    (refund,) = await harness.db.run(refund_store.claim_refunds, "sandbox", 0.0, 1.0, 10)
    done = await harness.gateway.refund(refund)
    everything = {(status, RefundCause.SUCCEEDED): RefundStatus.DONE for status in RefundStatus}
    monkeypatch.setattr(refund_model, "REFUND_NEXT", everything)
    await harness.db.run(refund_service.apply_refunds, [done])
    with pytest.raises(IntegrityConstraintViolationError, match="payments_refunds"):
        await harness.db.run(refund_service.apply_refunds, [done])


async def test_several_processes_share_the_refunds_without_doing_one_twice(
    harness: PaymentHarness, bank_client: BankClient, build_beside: BuildBeside
) -> None:
    payments = [
        answer.json() for answer in await asyncio.gather(*(harness.pay() for _ in range(30)))
    ]
    await harness.db.run(refund_service.refund_bookings, [refused(payment) for payment in payments])
    await harness.change("UPDATE refunds SET attempts = 0")
    other = build_beside(harness, bank_client)
    claims = await asyncio.gather(
        *(harness.db.run(refund_store.claim_refunds, "sandbox", 60.0, 60.0, 10) for _ in range(6))
    )
    claimed = [refund.refund_id for claim in claims for refund in claim]
    assert len(claimed) == len(set(claimed)) == 30
    await harness.change("UPDATE refunds SET next_attempt_at = now()")
    await asyncio.gather(harness.refund_all(), other.refund_all())
    assert await bank_refunds(harness) == [2400] * 30
    assert len(await harness.events("payment.refunded")) == 30
    await harness.assert_money_is_conserved()


async def test_a_double_capture_and_a_cancellation_give_everything_back(
    harness: PaymentHarness,
) -> None:
    payment = (await harness.pay("tok_down")).json()
    charges = [
        (
            await harness.bank.post(
                "/charges",
                json={"amount_cents": 2400, "currency": "EUR", "token": "tok_approve"},
                headers={"idempotency-key": f"{payment['payment_id']}{suffix}"},
            )
        ).json()["charge_id"]
        for suffix in ("", "-again")
    ]
    for charge_id in charges:
        await harness.post_webhook(*webhook(payment["payment_id"], charge_id))
    await harness.db.run(refund_service.refund_bookings, [cancelled(payment, 2400)])
    await harness.refund_all()
    assert await bank_refunds(harness) == [2400, 2400]
    assert (await harness.payment(payment["payment_id"]))["status"] == "refunded"
    assert len(await harness.events("payment.refunded")) == 2
