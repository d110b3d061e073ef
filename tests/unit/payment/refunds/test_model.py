"""Refunds and disputes, in every order, without IO."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as altered

from cinesync.chassis import clock
from cinesync.payment.model import Payment, PaymentStatus, Refund, RefundStatus
from cinesync.payment.refunds.model import (
    DISPUTE_NEXT,
    REFUND_NEXT,
    Dispute,
    DisputeStatus,
    PaymentRefunds,
    ProviderDispute,
    ProviderRefund,
    RefundCause,
    changes_dispute,
    loss_of,
)

PAID = Payment(
    payment_id=UUID(int=1),
    customer_id=UUID(int=2),
    hold_id=UUID(int=3),
    provider="stripe",
    amount_cents=2400,
    currency="EUR",
    status=PaymentStatus.SUCCESS,
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
    charge_id="pi_1",
)
ACCEPTED, SUCCEEDED, FAILED = RefundCause.ACCEPTED, RefundCause.SUCCEEDED, RefundCause.FAILED


def ours(cents: int = 2400, number: int = 1, status: RefundStatus = RefundStatus.PENDING) -> Refund:
    return Refund(
        refund_id=UUID(int=100 + number),
        source=f"event:{number}",
        payment_id=PAID.payment_id,
        provider="stripe",
        charge_id="pi_1",
        amount_cents=cents,
        currency="EUR",
        reason="customer",
        status=status,
    )


def reported(
    cause: RefundCause = SUCCEEDED, cents: int = 2400, name: str = "re_1", **other: object
) -> ProviderRefund:
    report = ProviderRefund(
        provider="stripe",
        provider_refund_id=name,
        charge_id="pi_1",
        amount_cents=cents,
        currency="EUR",
        cause=cause,
    )
    return replace(report, **other)  # type: ignore[arg-type]  # a test's own words


def payment_with(*refunds: Refund) -> PaymentRefunds:
    asked = sum(refund.amount_cents for refund in refunds if not refund.surplus)
    return PaymentRefunds(altered(PAID, refund_asked_cents=asked), list(refunds))


def apply(
    returns: PaymentRefunds, *reports: ProviderRefund, surplus: bool = False
) -> PaymentRefunds:
    for report in reports:
        returns.apply(report, [clock.new_id(), clock.new_id()], surplus=surplus)
    return returns


def by_status(returns: PaymentRefunds) -> list[tuple[RefundStatus, int]]:
    return [(refund.status, refund.amount_cents) for refund in returns.refunds]


def assert_sound(returns: PaymentRefunds) -> None:
    """What the database would refuse, and what an audit would find."""
    counted = [r for r in returns.refunds if not r.surplus and r.status != RefundStatus.CANCELLED]
    payment = returns.payment
    assert payment.refund_asked_cents == sum(refund.amount_cents for refund in counted)
    done = [r.amount_cents for r in counted if r.status is RefundStatus.DONE]
    assert payment.refunded_cents == sum(done)
    assert 0 <= payment.refunded_cents <= payment.refund_asked_cents <= payment.amount_cents
    expected = PaymentStatus.SUCCESS if not done else PaymentStatus.PARTIALLY_REFUNDED
    whole = payment.refunded_cents == payment.amount_cents
    assert payment.status is (PaymentStatus.REFUNDED if whole else expected)


LIVES: Sequence[tuple[Sequence[RefundCause], RefundStatus]] = (
    ([ACCEPTED, SUCCEEDED], RefundStatus.DONE),
    ([ACCEPTED, FAILED], RefundStatus.FAILED),
    ([ACCEPTED, SUCCEEDED, FAILED], RefundStatus.FAILED),
    ([SUCCEEDED, FAILED], RefundStatus.FAILED),
    ([SUCCEEDED], RefundStatus.DONE),
)


@pytest.mark.parametrize(("life", "end"), LIVES)
def test_every_order_of_a_refunds_life_ends_alike(
    life: Sequence[RefundCause], end: RefundStatus
) -> None:
    for order in itertools.permutations(life):
        refund = ours()
        reports = [reported(cause, refund_id=refund.refund_id) for cause in (*order, *order)]
        returns = apply(payment_with(refund), *reports)
        assert [one.status for one in returns.refunds] == [end], order
        assert_sound(returns)


def test_a_refund_that_fails_after_it_was_made_is_owed_again() -> None:
    refund = ours()
    returns = apply(payment_with(refund), reported(refund_id=refund.refund_id))
    assert returns.payment.status is PaymentStatus.REFUNDED
    apply(returns, reported(FAILED, refund_id=refund.refund_id, error="lost_or_stolen_card"))
    assert (returns.payment.status, returns.payment.refunded_cents) == (PaymentStatus.SUCCESS, 0)
    [(failed, was_done)] = returns.failed
    assert (failed.last_error, was_done) == ("lost_or_stolen_card", True)
    assert_sound(returns)


def test_without_the_table_an_older_success_would_count_a_failed_refund() -> None:
    assert (RefundStatus.FAILED, SUCCEEDED) not in REFUND_NEXT
    refund = ours(status=RefundStatus.FAILED)
    returns = apply(payment_with(refund), reported(refund_id=refund.refund_id))
    assert returns.done == []


def test_a_dashboard_refund_covers_the_requested_one() -> None:
    returns = apply(payment_with(ours()), reported())
    assert by_status(returns) == [(RefundStatus.CANCELLED, 2400), (RefundStatus.DONE, 2400)]
    [done] = returns.done
    assert (done.unasked_cents, done.reason) == (0, "customer")
    assert_sound(returns)


@pytest.mark.parametrize("status", [RefundStatus.NEEDS_ATTENTION, RefundStatus.FAILED])
def test_a_dashboard_refund_covers_also_one_that_needs_attention(status: RefundStatus) -> None:
    returns = apply(payment_with(ours(status=status)), reported())
    assert returns.refunds[0].status is RefundStatus.CANCELLED
    assert_sound(returns)


def test_a_dashboard_refund_of_a_part_leaves_the_rest_pending() -> None:
    returns = apply(payment_with(ours(2000)), reported(cents=500))
    assert sorted(by_status(returns)) == [
        (RefundStatus.CANCELLED, 2000),
        (RefundStatus.DONE, 500),
        (RefundStatus.PENDING, 1500),
    ]
    assert [refund.unasked_cents for refund in returns.done] == [0]
    assert_sound(returns)


def test_a_dashboard_refund_that_covers_nothing_is_unasked() -> None:
    returns = apply(payment_with(), reported(cents=1000))
    [done] = returns.done
    assert (done.unasked_cents, done.reason, done.surplus) == (1000, "provider", False)
    assert returns.payment.status is PaymentStatus.PARTIALLY_REFUNDED
    assert_sound(returns)


def test_a_submitted_dashboard_refund_counts_when_it_is_done() -> None:
    returns = apply(payment_with(), reported(ACCEPTED, 1000))
    assert (returns.done, returns.payment.refunded_cents) == ([], 0)
    apply(returns, reported(SUCCEEDED, 1000))
    assert [refund.unasked_cents for refund in returns.done] == [1000]
    assert_sound(returns)


def test_a_dashboard_refund_that_failed_at_once_is_ignored() -> None:
    assert apply(payment_with(), reported(FAILED)).refunds == []


def test_a_dashboard_refund_of_a_surplus_capture_does_not_change_the_payment() -> None:
    refund = replace(ours(), surplus=True)
    returns = apply(PaymentRefunds(PAID, [refund]), reported(), surplus=True)
    assert by_status(returns) == [(RefundStatus.CANCELLED, 2400), (RefundStatus.DONE, 2400)]
    assert (returns.payment, returns.done[0].surplus) == (PAID, True)


def test_a_failed_refund_is_tried_again_as_a_new_one() -> None:
    refund = ours()
    returns = apply(payment_with(refund), reported(refund_id=refund.refund_id))
    apply(returns, reported(FAILED, refund_id=refund.refund_id))
    returns.retry(returns.refunds[0], UUID(int=7))
    assert by_status(returns) == [(RefundStatus.CANCELLED, 2400), (RefundStatus.PENDING, 2400)]
    assert returns.refunds[1].refund_id == UUID(int=7)
    assert returns.refunds[1].provider_refund_id == ""
    assert_sound(returns)


def test_a_refund_that_was_given_up_is_tried_again_under_its_own_key() -> None:
    refund = ours(status=RefundStatus.NEEDS_ATTENTION)
    returns = payment_with(refund)
    returns.retry(refund, UUID(int=7))
    assert [(r.refund_id, r.status) for r in returns.refunds] == [
        (refund.refund_id, RefundStatus.PENDING)
    ]


def test_unasked_cents_are_published_once_also_after_a_retry() -> None:
    returns = apply(payment_with(), reported(SUCCEEDED, 1000), reported(FAILED, 1000))
    returns.retry(returns.refunds[0], UUID(int=7))
    apply(returns, reported(SUCCEEDED, 1000, "re_2", refund_id=UUID(int=7)))
    assert [refund.unasked_cents for refund in returns.done] == [1000, 0]
    assert_sound(returns)


@given(data=st.data())
def test_money_is_conserved_whatever_comes(data: st.DataObject) -> None:
    """Two refunds of ours and two made by hand, in any order, doubled and with gaps."""
    refunds = [ours(1000, 1), ours(900, 2)]
    names = {refund.refund_id: f"re_{refund.refund_id.int}" for refund in refunds}
    by_us = [
        reported(cause, refund.amount_cents, names[refund.refund_id], refund_id=refund.refund_id)
        for refund in refunds
        for cause in (ACCEPTED, SUCCEEDED, FAILED)
    ]
    from_dashboard = [
        reported(cause, cents, name)
        for name, cents in (("re_a", 500), ("re_b", 2400))
        for cause in (ACCEPTED, SUCCEEDED, FAILED)
    ]
    returns = payment_with(*refunds)
    for report in data.draw(st.lists(st.sampled_from(by_us + from_dashboard), max_size=15)):
        apply(returns, report)
        assert_sound(returns)


def test_a_refund_that_was_under_way_when_another_covered_it_counts_too() -> None:
    refund = ours(1000)
    returns = apply(
        payment_with(refund), reported(cents=500), reported(cents=1000, refund_id=refund.refund_id)
    )
    assert by_status(returns) == [
        (RefundStatus.DONE, 1000),
        (RefundStatus.CANCELLED, 500),
        (RefundStatus.DONE, 500),
    ]
    assert sum(refund.unasked_cents for refund in returns.done) == 500
    assert_sound(returns)


def test_a_surplus_refund_that_was_under_way_when_another_covered_it_changes_no_payment() -> None:
    refund = replace(ours(), surplus=True)
    returns = apply(
        PaymentRefunds(PAID, [refund]),
        reported(),
        reported(name="re_2", refund_id=refund.refund_id),
        surplus=True,
    )
    assert by_status(returns) == [(RefundStatus.DONE, 2400), (RefundStatus.DONE, 2400)]
    assert returns.payment == PAID


@given(data=st.data())
def test_our_total_is_the_providers_total(data: st.DataObject) -> None:
    """Ours are made at once or later, staff give back by hand beside them, reports come in any
    order: at the end the provider's total is ours, and what was asked for is back."""
    refunds = [ours(1000, 1), ours(900, 2)]
    returns = payment_with(*refunds)
    made: dict[str, int] = {}
    reports: list[ProviderRefund] = []

    def make(name: str, cents: int, **other: object) -> None:
        if name not in made and sum(made.values()) + cents <= PAID.amount_cents:
            made[name] = cents
            reports.extend(reported(cause, cents, name, **other) for cause in (ACCEPTED, SUCCEEDED))

    for _ in range(data.draw(st.integers(0, 6))):
        if data.draw(st.booleans()):
            refund = data.draw(st.sampled_from(refunds))
            make(f"re_{refund.source}", refund.amount_cents, refund_id=refund.refund_id)
        else:
            make(f"re_hand_{len(made)}", data.draw(st.integers(1, 1500)))
        for report in data.draw(st.lists(st.sampled_from(reports), max_size=3)) if reports else ():
            apply(returns, report)
            assert_sound(returns)
    apply(returns, *data.draw(st.permutations(reports)))
    while waiting := [one for one in returns.refunds if one.status is RefundStatus.PENDING]:
        refund = waiting[0]
        name = f"re_{refund.source}"
        make(name, refund.amount_cents, refund_id=refund.refund_id)
        assert name in made, "the provider refuses nothing that is still owed"
        apply(returns, reports[-1])
        assert_sound(returns)
    assert returns.payment.refunded_cents == sum(made.values()) >= 1900
    assert sum(refund.unasked_cents for refund in returns.done) == sum(made.values()) - 1900


def dispute(status: DisputeStatus) -> ProviderDispute:
    return ProviderDispute(
        provider="stripe",
        provider_dispute_id="dp_1",
        charge_id="pi_1",
        amount_cents=2400,
        currency="EUR",
        status=status,
        reason="fraudulent",
    )


DISPUTE_LIVES = (
    [DisputeStatus.INQUIRY, DisputeStatus.CLOSED],
    [DisputeStatus.INQUIRY, DisputeStatus.OPEN, DisputeStatus.LOST],
    [DisputeStatus.OPEN, DisputeStatus.WON],
    [DisputeStatus.OPEN, DisputeStatus.LOST],
    [DisputeStatus.INQUIRY, DisputeStatus.PREVENTED],
)


@pytest.mark.parametrize("life", DISPUTE_LIVES)
def test_every_order_of_a_dispute_ends_alike(life: list[DisputeStatus]) -> None:
    for order in itertools.permutations(life):
        known: Dispute | None = None
        for status in (*order, *order):
            report = dispute(status)
            if changes_dispute(known, report):
                known = Dispute(
                    dispute_id=UUID(int=1),
                    payment_id=PAID.payment_id,
                    provider="stripe",
                    provider_dispute_id="dp_1",
                    charge_id="pi_1",
                    amount_cents=2400,
                    currency="EUR",
                    status=status,
                    reason="",
                    due_at=None,
                )
        assert known is not None
        assert known.status is life[-1], order


def test_what_ended_never_moves() -> None:
    ends = set(DisputeStatus) - {before for before, _ in DISPUTE_NEXT}
    assert ends == {
        DisputeStatus.WON,
        DisputeStatus.LOST,
        DisputeStatus.CLOSED,
        DisputeStatus.PREVENTED,
    }


def test_a_lost_dispute_is_a_refund_of_at_most_what_is_left() -> None:
    refund = ours(1000)
    returns = apply(payment_with(refund), reported(cents=1000, refund_id=refund.refund_id))
    apply(returns, loss_of(dispute(DisputeStatus.LOST)))
    lost = returns.done[-1]
    assert (lost.amount_cents, lost.reason, lost.unasked_cents) == (1400, "dispute_lost", 1400)
    assert returns.payment.status is PaymentStatus.REFUNDED
    assert_sound(returns)
