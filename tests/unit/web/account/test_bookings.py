"""Bookings, tickets and cancellations."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from cinesync.chassis import clock
from tests.support.fake_apis.booking import confirm
from tests.support.fake_apis.state import SHOW, FakeApis


@pytest.fixture
def booking_id(customer: FlaskClient, apis: FakeApis) -> str:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    [booking_id] = apis.bookings
    confirm(apis, booking_id)
    return booking_id


def test_bookings_are_listed_page_by_page(
    customer: FlaskClient, booking_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = customer.get("/bookings").text
    assert "Casablanca" in page
    assert "Confirmed" in page
    assert f'href="/bookings/{booking_id}"' in page
    monkeypatch.setattr("cinesync.web.account.bookings.BOOKINGS_PER_PAGE", 1)
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["D4"]})
    assert 'href="/bookings?after=1"' in customer.get("/bookings").text
    assert "Waiting for payment" in customer.get("/bookings?after=1").text


def test_a_countdown_ends_with_a_purchase_that_ended_elsewhere(
    customer: FlaskClient, booking_id: str
) -> None:
    assert "data-countdown" in customer.get("/").text
    customer.get("/bookings")
    assert "data-countdown" not in customer.get("/").text


def test_no_bookings_lead_to_the_movies(customer: FlaskClient) -> None:
    assert "You have no bookings yet" in customer.get("/bookings").text


def test_a_ticket_shows_the_theaters_time(customer: FlaskClient, booking_id: str) -> None:
    page = customer.get(f"/bookings/{booking_id}").text
    for expected in ("Casablanca", "18:30", "Phoenix, London", "Screen 1", "C4", "C5", "£25.00"):
        assert expected in page


def test_a_ticket_without_its_code_says_so(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    apis.bookings[booking_id]["ticket"] = None
    assert "Your ticket code is not ready yet" in customer.get(f"/bookings/{booking_id}").text


def test_a_booking_is_cancelled_after_asking_and_shows_the_refund(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    page = customer.get(f"/bookings/{booking_id}/cancel").text
    assert "to your card: £25.00 for all of them" in page
    answer = customer.post(f"/bookings/{booking_id}/cancel")
    page = customer.get(answer.location).text
    assert "Cancelled" in page
    assert "You cancelled this booking" in page
    assert "£25.00 is on its way to your card" in page
    assert "data-ticket" not in page
    apis.bookings[booking_id]["refund_state"] = "refunded"
    assert "£25.00 was refunded to your card" in customer.get("/bookings").text


def test_each_seat_can_have_its_own_ticket(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    assert f'href="/bookings/{booking_id}/tickets"' in customer.get(f"/bookings/{booking_id}").text
    page = customer.get(f"/bookings/{booking_id}/tickets").text
    assert page.count("<svg") >= 2
    assert "Seat C4: show this at the entrance" in page
    assert "Seat C5: show this at the entrance" in page
    customer.post(f"/bookings/{booking_id}/cancel")
    gone = customer.get(f"/bookings/{booking_id}/tickets").text
    assert "This booking has no tickets" in gone
    assert "Seat C4" not in gone


def test_single_seats_are_cancelled(customer: FlaskClient, apis: FakeApis, booking_id: str) -> None:
    page = customer.get(f"/bookings/{booking_id}/cancel").text
    assert page.count('type="checkbox"') == 2
    none = customer.post(f"/bookings/{booking_id}/cancel", data={"choose": "1"})
    assert (none.status_code, apis.bookings[booking_id]["status"]) == (422, "confirmed")
    assert "Choose the seats to cancel first." in none.text
    answer = customer.post(f"/bookings/{booking_id}/cancel", data={"choose": "1", "seat": ["C4"]})
    page = customer.get(answer.location).text
    assert "Cancelled: C4." in page
    assert '<del class="seat-name">C4</del>' in page
    assert "£12.50 is on its way to your card" in page
    assert "data-ticket" in page
    rest = customer.get(f"/bookings/{booking_id}/cancel").text
    assert "We refund £12.50 to your card" in rest
    assert "checkbox" not in rest


def test_seats_that_cannot_be_cancelled_alone_show_the_form_again(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    expected = "C4 would be left on its own. Cancel C5 instead."
    apis.fail(f"/api/booking/bookings/{booking_id}/cancel", 422, expected, rule="gap")
    page = customer.post(f"/bookings/{booking_id}/cancel", data={"choose": "1", "seat": ["C4"]})
    assert page.status_code == 422
    assert expected in page.text
    assert 'value="C4" checked' in page.text
    assert 'value="C5">' in page.text


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("show", "The cinema cancelled this show: The projector broke"),
        ("staff", "The cinema cancelled this booking: The projector broke"),
        ("provider", "The cinema cancelled this booking: The projector broke"),
        ("dispute_lost", "Your bank reversed the payment of this booking"),
    ],
)
def test_a_cancelled_booking_shows_the_reason(
    customer: FlaskClient, apis: FakeApis, booking_id: str, reason: str, expected: str
) -> None:
    cancelled = {"cancel_reason": reason, "cancel_note": "The projector broke"}
    apis.bookings[booking_id] |= {"status": "cancelled", **cancelled}
    assert expected in customer.get(f"/bookings/{booking_id}").text
    assert expected in customer.get("/bookings").text


def test_a_partial_refund_by_staff_shows_the_reason(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    apis.bookings[booking_id]["refunds"] = [
        {"refund_cents": 500, "reason": "staff", "note": "The sound failed", "seats": []},
        {"refund_cents": 1250, "reason": "staff", "note": "Broken seat", "seats": ["C6"]},
    ]
    page = customer.get(f"/bookings/{booking_id}").text
    assert "The cinema refunded £5.00: The sound failed" in page
    assert "The cinema refunded £12.50 for C6: Broken seat" in page


def test_a_moved_show_shows_both_times_and_offers_a_refund(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    booking = apis.bookings[booking_id]
    assert "The time changed" not in customer.get(f"/bookings/{booking_id}").text
    new = (clock.now() + timedelta(hours=1)).isoformat()
    booking |= {
        "booked_starts_at": booking["starts_at"],
        "starts_at": new,
        "cancel_until": new,
        "is_moved": True,
    }
    for path in (f"/bookings/{booking_id}", "/bookings", f"/bookings/{booking_id}/cancel"):
        page = customer.get(path).text
        assert "The time changed." in page
        assert "18:30</del>" in page
    assert "You get a full refund if you cancel" in (customer.get(f"/bookings/{booking_id}").text)


def test_too_late_to_cancel_is_a_sentence(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    soon = (clock.now() - timedelta(minutes=1)).isoformat()
    apis.bookings[booking_id]["cancel_until"] = soon
    assert "can no longer be cancelled" in customer.get(f"/bookings/{booking_id}/cancel").text
    assert "Cancel this booking" not in customer.get(f"/bookings/{booking_id}").text
    apis.fail(f"/api/booking/bookings/{booking_id}/cancel", 422, "It is too late to cancel.")
    page = customer.post(f"/bookings/{booking_id}/cancel")
    assert page.status_code == 422
    assert "It is too late to cancel." in page.text


def test_a_cancellation_that_cannot_reach_the_service_is_a_page(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    apis.fail(f"/api/booking/bookings/{booking_id}/cancel", 503)
    assert customer.post(f"/bookings/{booking_id}/cancel").status_code == 503
