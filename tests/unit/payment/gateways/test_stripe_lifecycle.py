"""A PaymentIntent's whole life: every event, in every order, doubled, late and missing."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.payment.gateways import stripe_lifecycle
from cinesync.payment.gateways.stripe_lifecycle import (
    INTENT_EVENTS,
    INTENT_STATES,
    SUBSCRIBED_EVENTS,
    charge_of,
    payment_id_of,
)
from cinesync.payment.model import ChargeState, Payment, PaymentStatus, ProviderReport, decide

PAYMENT = Payment(
    payment_id=UUID(int=1),
    customer_id=UUID(int=2),
    hold_id=UUID(int=3),
    provider="stripe",
    amount_cents=2400,
    currency="EUR",
    status=PaymentStatus.PENDING,
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
)
URL = "https://bank.example/3ds"

# An event: its type, and the status that its PaymentIntent had when the event was made.
Event = tuple[str, str]
CREATED: Event = ("payment_intent.created", "requires_payment_method")
LIVES: dict[str, tuple[Sequence[Event], PaymentStatus]] = {
    "a card that pays": (
        [CREATED, ("payment_intent.succeeded", "succeeded")],
        PaymentStatus.SUCCESS,
    ),
    "a card that asks its holder, who agrees": (
        [
            CREATED,
            ("payment_intent.requires_action", "requires_action"),
            ("payment_intent.processing", "processing"),
            ("payment_intent.succeeded", "succeeded"),
        ],
        PaymentStatus.SUCCESS,
    ),
    "a card that asks its holder, who does not agree": (
        [
            CREATED,
            ("payment_intent.requires_action", "requires_action"),
            ("payment_intent.payment_failed", "refused"),
        ],
        PaymentStatus.FAILED,
    ),
    "a card that is declined": (
        [CREATED, ("payment_intent.payment_failed", "refused")],
        PaymentStatus.FAILED,
    ),
    "a card that is authorised first": (
        [
            CREATED,
            ("payment_intent.amount_capturable_updated", "requires_capture"),
            ("payment_intent.succeeded", "succeeded"),
        ],
        PaymentStatus.SUCCESS,
    ),
    "a payment that is given up": (
        [
            CREATED,
            ("payment_intent.requires_action", "requires_action"),
            ("payment_intent.canceled", "canceled"),
        ],
        PaymentStatus.FAILED,
    ),
    "a slow payment": (
        [
            CREATED,
            ("payment_intent.processing", "processing"),
            ("payment_intent.partially_funded", "requires_action"),
            ("payment_intent.succeeded", "succeeded"),
        ],
        PaymentStatus.SUCCESS,
    ),
}


def intent(status: str) -> dict[str, Any]:
    refused = status == "refused"
    return {
        "id": "pi_1",
        "amount": 2400,
        "amount_received": 2400 if status == "succeeded" else 0,
        "currency": "eur",
        "status": "requires_payment_method" if refused else status,
        "last_payment_error": {"code": "card_declined"} if refused else None,
        "next_action": {"redirect_to_url": {"url": URL}} if status == "requires_action" else None,
        "metadata": {"payment_id": str(PAYMENT.payment_id)},
    }


def reported(payment: Payment, events: Sequence[Event]) -> tuple[Payment, int]:
    """The payment after these events, and how many captures were surplus."""
    known: set[str] = set()
    surplus = 0
    for event_type, status in events:
        if not INTENT_EVENTS[event_type]:
            continue
        report = ProviderReport(
            provider="stripe", payment_id=payment.payment_id, charges=[charge_of(intent(status))]
        )
        decisions = decide(payment, known, report)
        known |= {charge.charge_id for charge in decisions.captures}
        surplus += len(decisions.surplus)
        payment = decisions.payment
    return payment, surplus


def test_every_status_and_event_that_stripe_documents_is_in_the_tables() -> None:
    assert set(INTENT_STATES) == {
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "requires_capture",
        "canceled",
        "succeeded",
    }
    assert {event for events, _ in LIVES.values() for event, _ in events} == set(INTENT_EVENTS)
    assert {e for e in SUBSCRIBED_EVENTS if e.startswith("payment_intent.")} <= {
        event for event, decides in INTENT_EVENTS.items() if decides
    }


def test_a_new_intent_waits_and_a_refused_one_does_not() -> None:
    assert charge_of(intent("requires_payment_method")).state is ChargeState.WAITING
    refused = charge_of(intent("refused"))
    assert (refused.state, refused.reason) == (ChargeState.DECLINED, "card_declined")
    assert charge_of(intent("one_that_stripe_adds")).state is ChargeState.WAITING


@pytest.mark.parametrize("life", LIVES)
def test_every_order_of_a_life_ends_alike(life: str) -> None:
    events, end = LIVES[life]
    for order in itertools.permutations(events):
        payment, surplus = reported(PAYMENT, order)
        assert (payment.status, surplus) == (end, 0), order


@given(data=st.data(), life=st.sampled_from(sorted(LIVES)))
def test_doubled_late_and_missing_events_change_no_end(data: st.DataObject, life: str) -> None:
    events, end = LIVES[life]
    heard = data.draw(st.lists(st.sampled_from(events), max_size=12))
    payment, surplus = reported(PAYMENT, heard)
    decisive = events[-1] in heard
    assert (payment.status, surplus) == (end if decisive else PaymentStatus.PENDING, 0)
    # What was missing comes at last, by the sweep or another delivery.
    payment, surplus = reported(payment, [events[-1]])
    assert payment.status is end
    assert payment.confirm_url == ""


def test_without_the_rule_for_created_a_good_payment_fails_and_is_refunded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was: every event decided, and a new intent counted as a refused one."""
    everything = dict.fromkeys(INTENT_EVENTS, True)
    monkeypatch.setattr(f"{__name__}.INTENT_EVENTS", everything)
    refused = {**INTENT_STATES, "requires_payment_method": ChargeState.DECLINED}
    monkeypatch.setattr(stripe_lifecycle, "INTENT_STATES", refused)
    payment, surplus = reported(PAYMENT, LIVES["a card that pays"][0])
    assert (payment.status, surplus) == (PaymentStatus.FAILED, 1)


@pytest.mark.parametrize("late", [CREATED, ("payment_intent.processing", "processing")])
def test_an_older_report_does_not_remove_the_confirm_url(late: Event) -> None:
    asked, _ = reported(PAYMENT, [("payment_intent.requires_action", "requires_action"), late])
    assert asked.confirm_url == URL


@pytest.mark.parametrize(
    "metadata", [None, {}, {"order": "7"}, {"payment_id": "7"}, {"payment_id": None}]
)
def test_another_systems_object_names_no_payment(metadata: object) -> None:
    assert payment_id_of({"metadata": metadata}) is None
