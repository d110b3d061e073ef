"""The table of states, and the judgement on money that arrives: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from cinesync.booking.model import (
    NEXT,
    Booking,
    BookingState,
    GapLeft,
    PaymentDecision,
    PricedSeat,
    SalesClosed,
    Show,
    ShowIsOff,
    Terms,
    Trigger,
    decide_payment,
    price,
    states_before,
)
from cinesync.contracts.payment import PaymentSuccess

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ONE, TWO, THREE = (UUID(int=number, version=4) for number in (1, 2, 3))

SHOW = Show(
    region="eu-west",
    show_id=ONE,
    movie_id=ONE,
    movie_title="The General",
    theater_id=ONE,
    theater_name="Kino Central",
    city="Vienna",
    time_zone="Europe/Vienna",
    auditorium_name="Saal 1",
    starts_at=NOON + timedelta(hours=3),
    ends_at=NOON + timedelta(hours=5),
    format="2D",
    language="en",
    currency="EUR",
    prices_cents={"standard": 1000, "premium": 1500},
    layout_id=ONE,
    revision=0,
    cancelled=False,
    read_at=NOON,
)
BOOKING = Booking(
    region="eu-west",
    booking_id=ONE,
    customer_id=TWO,
    show_id=ONE,
    seats=[PricedSeat("A1", "standard", 1000)],
    total_cents=1000,
    currency="EUR",
    state=BookingState.HELD,
    created_at=NOON,
    expires_at=NOON + timedelta(minutes=10),
    extensions=0,
    payment_id=None,
    payment_failure=None,
    late=False,
    confirmed_at=None,
    cancelled_at=None,
    cancel_reason=None,
    refund_cents=0,
    refunded_cents=0,
    read_at=NOON,
)
PAYMENT = PaymentSuccess(
    event_id=THREE,
    occurred_at=NOON,
    payment_id=THREE,
    hold_id=ONE,
    customer_id=TWO,
    amount_cents=1000,
    currency="EUR",
    provider="sandbox",
)


def test_every_state_is_reached_and_only_a_cancelled_booking_is_final() -> None:
    assert set(NEXT.values()) | {BookingState.HELD} == set(BookingState)
    assert set(BookingState) - {before for before, _ in NEXT} == {BookingState.CANCELLED}


def test_the_states_before_a_cause_are_those_of_the_table() -> None:
    assert states_before(Trigger.PAID) == [
        BookingState.HELD,
        BookingState.RELEASED,
        BookingState.EXPIRED,
    ]
    assert states_before(Trigger.CUSTOMER_CANCELLED) == [BookingState.CONFIRMED]


@pytest.mark.parametrize(
    ("state", "read_at", "status"),
    [
        (BookingState.HELD, BOOKING.expires_at - timedelta(seconds=1), BookingState.HELD),
        (BookingState.HELD, BOOKING.expires_at, BookingState.EXPIRED),
        (BookingState.CONFIRMED, BOOKING.expires_at, BookingState.CONFIRMED),
    ],
)
def test_a_hold_expires_by_the_clock(
    state: BookingState, read_at: datetime, status: BookingState
) -> None:
    assert replace(BOOKING, state=state, read_at=read_at).status is status


@pytest.mark.parametrize(
    ("refund_cents", "refunded_cents", "refund_state"),
    [(0, 0, "none"), (1000, 0, "pending"), (1000, 999, "pending"), (1000, 1000, "refunded")],
)
def test_a_refund_is_done_when_all_of_it_went_back(
    refund_cents: int, refunded_cents: int, refund_state: str
) -> None:
    booking = replace(BOOKING, refund_cents=refund_cents, refunded_cents=refunded_cents)
    assert booking.refund_state == refund_state


def test_a_payment_moves_a_booking_as_the_table_says() -> None:
    assert BOOKING.paid(THREE) == replace(BOOKING, state=BookingState.CONFIRMED, payment_id=THREE)
    with pytest.raises(KeyError):
        replace(BOOKING, state=BookingState.CANCELLED).paid(THREE)


def test_a_show_is_sold_until_some_minutes_after_its_start() -> None:
    terms = Terms(sales_close_minutes=15)
    close = SHOW.starts_at + timedelta(minutes=15)
    assert SHOW.refuse_sale(terms) is None
    assert replace(SHOW, read_at=close - timedelta(seconds=1)).refuse_sale(terms) is None
    assert isinstance(replace(SHOW, read_at=close).refuse_sale(terms), SalesClosed)
    assert isinstance(replace(SHOW, cancelled=True).refuse_sale(terms), ShowIsOff)


def test_a_show_may_be_sold_until_some_minutes_before_its_start() -> None:
    terms = Terms(sales_close_minutes=-30)
    close = SHOW.starts_at - timedelta(minutes=30)
    assert replace(SHOW, read_at=close - timedelta(seconds=1)).refuse_sale(terms) is None
    assert isinstance(replace(SHOW, read_at=close).refuse_sale(terms), SalesClosed)


def test_a_booking_can_be_cancelled_until_two_hours_before() -> None:
    until = SHOW.starts_at - timedelta(hours=2)
    assert SHOW.cancel_until(Terms(), BOOKING.created_at) == until


def test_prices_are_those_of_the_zone() -> None:
    zones = [("A1", "standard"), ("C1", "premium")]
    assert [priced.price_cents for priced in price(SHOW, zones)] == [1000, 1500]


def test_a_broken_rule_is_named() -> None:
    assert GapLeft("A1 is alone", seats=["A1"]).as_dict() == {
        "type": "/problems/gap-left",
        "title": "This would leave a single seat on its own.",
        "status": 422,
        "detail": "A1 is alone",
        "rule": "gap",
        "seats": ["A1"],
    }


def _judge(
    payment: dict[str, Any], booking: dict[str, Any], show: dict[str, Any]
) -> PaymentDecision:
    return decide_payment(
        replace(PAYMENT, **payment), replace(BOOKING, **booking), replace(SHOW, **show)
    )


LATE = {"read_at": BOOKING.expires_at}
OVER = {"read_at": SHOW.ends_at}


@pytest.mark.parametrize(
    ("payment", "booking", "show", "verdict"),
    [
        ({}, {}, {}, PaymentDecision.CONFIRM),
        ({}, LATE, {}, PaymentDecision.CONFIRM),
        ({}, {"state": BookingState.EXPIRED}, {}, PaymentDecision.CONFIRM),
        ({}, {"state": BookingState.RELEASED}, {}, PaymentDecision.CONFIRM),
        ({"customer_id": ONE}, {}, {}, PaymentDecision.UNKNOWN_HOLD),
        ({}, {"state": BookingState.CONFIRMED, "payment_id": THREE}, {}, PaymentDecision.KNOWN),
        ({}, {"state": BookingState.CANCELLED, "payment_id": THREE}, {}, PaymentDecision.KNOWN),
        (
            {},
            {"state": BookingState.CONFIRMED, "payment_id": TWO},
            {},
            PaymentDecision.ALREADY_PAID,
        ),
        (
            {},
            {"state": BookingState.CANCELLED, "payment_id": TWO},
            {},
            PaymentDecision.ALREADY_PAID,
        ),
        ({}, {}, {"cancelled": True}, PaymentDecision.RELEASED_SHOW),
        ({"amount_cents": 999}, {}, {}, PaymentDecision.WRONG_AMOUNT),
        ({"amount_cents": 1001}, {}, {}, PaymentDecision.WRONG_AMOUNT),
        ({"currency": "USD"}, {}, {}, PaymentDecision.WRONG_AMOUNT),
        ({}, {}, OVER, PaymentDecision.CONFIRM),
        ({}, LATE, OVER, PaymentDecision.SEATS_GONE),
    ],
)
def test_money_that_arrives_is_judged(
    payment: dict[str, Any], booking: dict[str, Any], show: dict[str, Any], verdict: PaymentDecision
) -> None:
    assert _judge(payment, booking, show) is verdict


def test_money_for_nothing_known_goes_back() -> None:
    assert decide_payment(PAYMENT, None, None) is PaymentDecision.UNKNOWN_HOLD
    assert decide_payment(PAYMENT, BOOKING, None) is PaymentDecision.UNKNOWN_HOLD


def test_a_booking_knows_its_seats() -> None:
    assert BOOKING.seat_names == ["A1"]
