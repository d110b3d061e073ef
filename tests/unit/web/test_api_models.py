"""The pure parts: outcomes, alternatives, groups, and where seats are drawn."""

from datetime import UTC, datetime

import pytest

from cinesync.web.api_models import (
    Booking,
    Payment,
    PurchaseState,
    ReturnedPayment,
    Seat,
    Show,
    alternatives_of,
    purchase_state,
    shows_by_movie,
    shows_by_theater,
)
from cinesync.web.storefront.seat_layout import PITCH, draw, seat_title, zones_of


def a_payment(status: str) -> Payment:
    return Payment("p1", status, hold_id="h1")


def a_booking(status: str, *refused: str) -> Booking:
    return Booking("h1", status, refused_payments=[ReturnedPayment(one) for one in refused])


@pytest.mark.parametrize(
    ("payment", "booking", "outcome"),
    [
        (a_payment("pending"), None, PurchaseState.WAIT),
        (a_payment("pending"), a_booking("held"), PurchaseState.WAIT),
        (a_payment("failed"), a_booking("confirmed"), PurchaseState.DECLINED),
        (a_payment("success"), None, PurchaseState.PAID),
        (a_payment("success"), a_booking("held"), PurchaseState.PAID),
        (a_payment("success"), a_booking("expired"), PurchaseState.PAID),
        (a_payment("success"), a_booking("confirmed"), PurchaseState.TICKET),
        (a_payment("refunded"), a_booking("cancelled"), PurchaseState.TICKET),
        (a_payment("success"), a_booking("expired", "p1"), PurchaseState.REFUNDED),
        (a_payment("success"), a_booking("confirmed", "p1"), PurchaseState.REFUNDED),
        (a_payment("success"), a_booking("confirmed", "p2"), PurchaseState.TICKET),
        (a_payment("refunded"), a_booking("expired"), PurchaseState.REFUNDED),
    ],
)
def test_the_purchase_state_follows_from_payment_and_booking(
    payment: Payment, booking: Booking | None, outcome: PurchaseState
) -> None:
    assert purchase_state(payment, booking) is outcome


@pytest.mark.parametrize(
    ("received", "groups"),
    [
        ([["F7", "F8"], ["G1"]], [["F7", "F8"], ["G1"]]),
        ([{"seats": ["F7"], "total_cents": 5}], [["F7"]]),
        ([[], {"seats": None}, 7], []),
        (None, []),
    ],
)
def test_alternatives_are_read_in_either_shape(received: object, groups: object) -> None:
    assert alternatives_of({"alternatives": received}) == groups


def a_show(show_id: str, movie_id: str, theater_id: str) -> Show:
    return Show(show_id, movie_id, theater_id, datetime(2026, 11, 21, 20, tzinfo=UTC))


def test_shows_are_grouped_in_order_of_appearance() -> None:
    shows = [a_show("1", "m1", "t2"), a_show("2", "m2", "t1"), a_show("3", "m1", "t1")]
    by_theater = [[one.show_id for one in group] for _, group in shows_by_theater(shows)]
    by_movie = [[one.show_id for one in group] for _, group in shows_by_movie(shows)]
    assert by_theater == [["1"], ["2", "3"]]
    assert by_movie == [["1", "3"], ["2"]]


def test_the_day_of_a_show_is_the_theaters_own() -> None:
    late = datetime(2026, 11, 21, 20, tzinfo=UTC)
    assert Show("1", "m", "t", late, time_zone="Asia/Tokyo").day.isoformat() == "2026-11-22"


def a_seat(seat: str, x: float, y: float, zone: str = "standard", cents: int = 1000) -> Seat:
    return Seat(seat, seat[0], int(seat[1:]), zone, "standard", x, y, cents, "free")


def test_zones_count_up_from_the_cheapest() -> None:
    seats = [a_seat("A1", 0, 0, "vip", 3000), a_seat("A2", 1, 0), a_seat("A3", 2, 0, "vip", 2800)]
    zones = [(zone.zone, zone.price_cents, zone.level) for zone in zones_of(seats)]
    assert zones == [("standard", 1000, 0), ("vip", 2800, 1)]


def test_rows_are_drawn_from_the_screen_back_and_seats_one_pitch_apart() -> None:
    drawing = draw([a_seat("B1", 5, 8), a_seat("A2", 6, 7), a_seat("A1", 5, 7)])
    assert [row.row for row in drawing.rows] == ["A", "B"]
    first, second = drawing.rows[0].seats
    assert second.x - first.x == PITCH
    assert drawing.rows[1].seats[0].y - first.y == PITCH
    assert first.x > 0
    assert drawing.width > second.x


def test_an_auditorium_without_seats_can_be_drawn() -> None:
    assert draw([]).rows == []


def test_a_seats_name_has_all_that_the_drawing_shows() -> None:
    wheelchair = Seat("E10", "E", 10, "standard", "wheelchair", 0, 0, 1250, "free")
    named = "Row E, seat 10, wheelchair place, standard, £12.50"
    assert seat_title(wheelchair, "£12.50") == named
    assert seat_title(a_seat("A1", 0, 0), "£10.00") == "Row A, seat 1, standard, £10.00"
