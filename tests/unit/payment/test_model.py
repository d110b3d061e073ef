"""The rules of money, without any IO."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cinesync.payment import model
from cinesync.payment.model import (
    ChargeState,
    Payment,
    PaymentCause,
    PaymentStatus,
    ProviderCharge,
    ProviderReport,
    RefundRequest,
    decide,
    refund_for,
    surplus_refund,
)

PAYMENT = Payment(
    payment_id=UUID(int=1),
    customer_id=UUID(int=2),
    hold_id=UUID(int=3),
    provider="sandbox",
    amount_cents=1000,
    currency="EUR",
    status=PaymentStatus.PENDING,
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
)
REFUND_ID = UUID(int=9)


def charge(name: str = "ch_1", state: str = "captured", **other: Any) -> ProviderCharge:
    given: dict[str, Any] = {"amount_cents": 1000, "currency": "EUR"} | other
    return ProviderCharge(charge_id=name, state=ChargeState(state), **given)


def report(*charges: ProviderCharge, absent_reason: str = "") -> ProviderReport:
    return ProviderReport(
        provider="sandbox",
        payment_id=PAYMENT.payment_id,
        charges=charges,
        absent_reason=absent_reason,
    )


def ask(cents: int, source: str = "event:1") -> RefundRequest:
    return RefundRequest(
        source=source, payment_id=PAYMENT.payment_id, amount_cents=cents, reason="customer"
    )


def paid() -> Payment:
    return decide(PAYMENT, set(), report(charge())).payment


def test_a_capture_makes_a_pending_payment_succeed() -> None:
    decisions = decide(PAYMENT, set(), report(charge()))
    assert (decisions.payment.status, decisions.payment.charge_id) == (
        PaymentStatus.SUCCESS,
        "ch_1",
    )
    assert [c.charge_id for c in decisions.captures] == ["ch_1"]
    assert decisions.surplus == []


def test_a_known_capture_changes_nothing() -> None:
    decisions = decide(paid(), {"ch_1"}, report(charge()))
    assert decisions == model.Decision(paid(), [], [])


def test_a_second_capture_is_surplus() -> None:
    decisions = decide(PAYMENT, set(), report(charge("ch_1"), charge("ch_2")))
    assert decisions.payment.charge_id == "ch_1"
    assert [c.charge_id for c in decisions.surplus] == ["ch_2"]


def test_a_capture_after_failure_is_surplus_and_the_payment_stays_failed() -> None:
    failed = decide(PAYMENT, set(), report(absent_reason="not_charged")).payment
    decisions = decide(failed, set(), report(charge()))
    assert decisions.payment == failed
    assert [c.charge_id for c in decisions.surplus] == ["ch_1"]


@pytest.mark.parametrize("wrong", [{"amount_cents": 999}, {"currency": "USD"}])
def test_a_capture_of_the_wrong_amount_is_surplus_and_fails_the_payment(
    wrong: dict[str, Any],
) -> None:
    decisions = decide(PAYMENT, set(), report(charge(**wrong)))
    assert decisions.payment.failure_reason == "wrong_amount"
    assert len(decisions.surplus) == 1


def test_a_declined_card_says_why() -> None:
    decisions = decide(PAYMENT, set(), report(charge(state="declined", reason="card_declined")))
    assert (decisions.payment.status, decisions.payment.failure_reason) == (
        PaymentStatus.FAILED,
        "card_declined",
    )


def test_a_waiting_charge_keeps_the_payment_pending_and_tells_where_to_confirm() -> None:
    decisions = decide(PAYMENT, set(), report(charge(state="waiting", confirm_url="http://c")))
    assert decisions.payment.status is PaymentStatus.PENDING
    assert (decisions.payment.charge_id, decisions.payment.confirm_url) == ("ch_1", "http://c")
    assert decide(decisions.payment, set(), report(charge())).payment.confirm_url == ""


def test_an_older_report_does_not_undo_a_success() -> None:
    for state in ("waiting", "declined"):
        assert decide(paid(), {"ch_1"}, report(charge(state=state))).payment == paid()


def test_an_empty_report_without_a_reason_decides_nothing() -> None:
    assert decide(PAYMENT, set(), report()).payment == PAYMENT


def test_a_refund_takes_no_more_than_is_left() -> None:
    payment = replace(paid(), refund_asked_cents=700)
    refund = refund_for(payment, ask(1000), REFUND_ID)
    assert refund is not None
    assert refund.amount_cents == 300
    assert refund_for(replace(payment, refund_asked_cents=1000), ask(1), REFUND_ID) is None


def test_a_failed_payment_has_no_refund() -> None:
    failed = replace(PAYMENT, status=PaymentStatus.FAILED)
    assert refund_for(failed, ask(1000), REFUND_ID) is None


def test_a_refund_of_an_undecided_payment_has_to_wait() -> None:
    with pytest.raises(model.PaymentUndecided):
        refund_for(PAYMENT, ask(1000), REFUND_ID)


def test_a_cancellation_without_a_refund_gives_nothing_back() -> None:
    assert refund_for(paid(), ask(0), REFUND_ID) is None


def test_refunds_lead_to_partly_and_then_wholly_refunded() -> None:
    partly = paid().with_refund_done(400)
    assert (partly.status, partly.refunded_cents) == (PaymentStatus.PARTIALLY_REFUNDED, 400)
    again = partly.with_refund_done(100)
    assert again.status is PaymentStatus.PARTIALLY_REFUNDED
    assert again.with_refund_done(500).status is PaymentStatus.REFUNDED
    assert paid().with_refund_done(1000).status is PaymentStatus.REFUNDED


def test_no_more_is_refunded_than_was_captured() -> None:
    with pytest.raises(AssertionError):
        paid().with_refund_done(1001)


def test_surplus_says_why_it_came() -> None:
    failed = replace(PAYMENT, status=PaymentStatus.FAILED)
    assert surplus_refund(failed, charge(), REFUND_ID).reason == "captured_after_failure"
    assert surplus_refund(paid(), charge("ch_2"), REFUND_ID).reason == "captured_twice"


def test_states_only_move_along_the_table() -> None:
    for status in PaymentStatus:
        for cause in PaymentCause:
            moved = replace(PAYMENT, status=status).after(cause).status
            assert moved is model.NEXT.get((status, cause), status)
    assert not [start for start, _ in model.NEXT if start is PaymentStatus.FAILED]
    # What went back may come again, and nothing else happens to it.
    after_refund = {cause for start, cause in model.NEXT if start is PaymentStatus.REFUNDED}
    assert after_refund == {PaymentCause.REFUND_FAILED_IN_PART, PaymentCause.REFUND_FAILED_WHOLE}


def test_fingerprints_tell_shifted_parts_apart() -> None:
    assert model.fingerprint("ab", "c") != model.fingerprint("a", "bc")
    assert model.fingerprint("ab", "c") == model.fingerprint("ab", "c")


CHARGES = st.builds(
    charge,
    st.sampled_from(["ch_1", "ch_2", "ch_3"]),
    st.sampled_from(["captured", "captured", "waiting", "declined"]),
    amount_cents=st.sampled_from([1000, 1000, 1000, 1]),
)
REPORTS = st.builds(
    lambda charges, reason: report(*charges, absent_reason=reason),
    st.lists(CHARGES, max_size=3, unique_by=lambda c: c.charge_id),
    st.sampled_from(["", "not_charged"]),
)


@given(st.lists(REPORTS, max_size=8))
def test_money_is_conserved_whatever_is_reported_in_whatever_order(
    reports: list[ProviderReport],
) -> None:
    payment, known, kept, given_back = PAYMENT, set[str](), 0, 0
    for one in reports:
        decisions = decide(payment, known, one)
        assert not known & {c.charge_id for c in decisions.captures}
        known |= {c.charge_id for c in decisions.captures}
        given_back += sum(c.amount_cents for c in decisions.surplus)
        kept += sum(c.amount_cents for c in decisions.captures if c not in decisions.surplus)
        if payment.status is not PaymentStatus.PENDING:
            assert decisions.payment == payment
        payment = decisions.payment
    captured = {c.charge_id for r in reports for c in r.charges if c.state == "captured"}
    assert known == captured
    assert kept == (payment.amount_cents if payment.status is PaymentStatus.SUCCESS else 0)


@given(st.lists(st.integers(0, 1500), max_size=6))
def test_refunds_never_exceed_the_payment_whatever_is_requested(asks: list[int]) -> None:
    payment = paid()
    for cents in asks:
        refund = refund_for(payment, ask(cents), REFUND_ID)
        if refund is not None:
            asked = payment.refund_asked_cents + refund.amount_cents
            payment = replace(payment, refund_asked_cents=asked)
            payment = payment.with_refund_done(refund.amount_cents)
    assert payment.refunded_cents == min(1000, sum(asks))
