"""Signing in and out, tokens, bookings and their end."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from cinesync.chassis import clock
from tests.support.fake_apis.booking import confirm
from tests.support.fake_apis.state import EMAIL, PASSWORD, SHOW, FakeApis

GOOD = {"email": EMAIL, "password": PASSWORD}


@pytest.fixture
def booking_id(customer: FlaskClient, apis: FakeApis) -> str:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    [booking_id] = apis.bookings
    confirm(apis, booking_id)
    return booking_id


def test_signing_in_leads_to_where_one_wanted_to_go(visitor: FlaskClient) -> None:
    assert visitor.get("/bookings").location == "/sign-in?next=/bookings"
    answer = visitor.post("/sign-in", data=GOOD | {"next": "/bookings"})
    assert answer.location == "/bookings"
    assert "My bookings" in visitor.get("/").text


@pytest.mark.parametrize("path", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_signing_in_never_leads_to_another_host(visitor: FlaskClient, path: str) -> None:
    assert visitor.post("/sign-in", data=GOOD | {"next": path}).location == "/"


def test_a_wrong_password_is_a_sentence(visitor: FlaskClient) -> None:
    page = visitor.post("/sign-in", data=GOOD | {"password": "wrong"})
    assert page.status_code == 401
    assert "E-mail or password is wrong." in page.text
    assert 'wrong"' not in page.text


@pytest.mark.parametrize("path", ["/sign-in", "/guest", "/register"])
def test_an_empty_form_says_what_is_missing(visitor: FlaskClient, path: str) -> None:
    page = visitor.post(path)
    assert page.status_code == 422
    assert "Please enter your e-mail address." in page.text


def test_too_many_attempts_are_a_sentence(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/auth/login", 429, "Too many attempts; please wait.")
    page = visitor.post("/sign-in", data=GOOD)
    assert page.status_code == 429
    assert "please wait" in page.text


def test_an_auth_service_that_is_down_is_a_sentence(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/auth", 503)
    for path in ("/sign-in", "/guest"):
        page = visitor.post(path, data=GOOD)
        assert page.status_code == 503
        assert "does not work right now" in page.text


def test_a_new_account_is_signed_in_at_once(visitor: FlaskClient, apis: FakeApis) -> None:
    who = {"name": "Ada", "email": "ada@example.org", "password": "a long password", "phone": "123"}
    assert visitor.post("/register", data=who).location == "/"
    assert apis.people["ada@example.org"]["phone"] == "123"
    assert "Sign out" in visitor.get("/").text


def test_a_taken_address_is_a_sentence(visitor: FlaskClient) -> None:
    who = {"name": "Ada", "email": EMAIL, "password": "a long password"}
    page = visitor.post("/register", data=who)
    assert page.status_code == 409
    assert "There is an account with this e-mail already." in page.text


def test_a_guest_has_bookings_but_no_account_page(visitor: FlaskClient) -> None:
    visitor.post("/guest", data={"email": "ada@example.org"})
    page = visitor.get("/").text
    assert "My bookings" in page
    assert 'href="/account"' not in page


def test_signing_out_ends_the_session_on_both_sides(customer: FlaskClient, apis: FakeApis) -> None:
    assert apis.refresh_tokens
    assert customer.post("/sign-out").location == "/"
    assert not apis.refresh_tokens
    assert "You are signed out." in customer.get("/").text
    assert customer.get("/bookings").status_code == 303


def test_signing_out_works_while_the_auth_service_is_down(
    customer: FlaskClient, apis: FakeApis
) -> None:
    apis.fail("/api/auth", 503)
    customer.post("/sign-out")
    assert "Sign in" in customer.get("/").text


def test_an_old_access_token_is_renewed_unnoticed(customer: FlaskClient, apis: FakeApis) -> None:
    with customer.session_transaction() as kept:
        kept["access_until"] = 0
        old = kept["refresh"]
    assert customer.get("/bookings").status_code == 200
    assert len(apis.sent("/api/auth/refresh")) == 1
    with customer.session_transaction() as kept:
        assert kept["refresh"] != old


def test_two_tabs_exchange_one_refresh_token_once(customer: FlaskClient, apis: FakeApis) -> None:
    cookie = customer.get_cookie("cinesync")
    assert cookie
    with customer.session_transaction() as kept:
        kept["access_until"] = 0
    old = customer.get_cookie("cinesync")
    assert old
    for _ in range(2):
        customer.set_cookie("cinesync", old.value)
        assert customer.get("/bookings").status_code == 200
    assert len(apis.sent("/api/auth/refresh")) == 1


def test_a_refresh_token_that_is_over_asks_to_sign_in(
    customer: FlaskClient, apis: FakeApis
) -> None:
    apis.refresh_tokens.clear()
    with customer.session_transaction() as kept:
        kept["access_until"] = 0
    assert customer.get("/bookings").location == "/sign-in?next=/bookings"
    assert "Sign in" in customer.get("/").text


def test_a_guest_without_refresh_token_signs_in_again(customer: FlaskClient) -> None:
    with customer.session_transaction() as kept:
        kept["access_until"] = 0
        kept["refresh"] = None
    assert customer.get("/bookings").location == "/sign-in?next=/bookings"


def test_an_auth_service_that_is_down_does_not_sign_anyone_out(
    customer: FlaskClient, apis: FakeApis
) -> None:
    with customer.session_transaction() as kept:
        kept["access_until"] = 0
    apis.fail("/api/auth/refresh", 503)
    assert customer.get("/bookings").status_code == 503
    apis.faults.clear()
    assert customer.get("/bookings").status_code == 200


def test_a_token_the_apis_refuse_asks_to_sign_in(customer: FlaskClient, apis: FakeApis) -> None:
    apis.tokens.clear()
    assert customer.get("/bookings").location == "/sign-in?next=/bookings"


def test_no_customers_refresh_cookie_travels_with_anothers_request(
    customer: FlaskClient, apis: FakeApis
) -> None:
    customer.get("/bookings")
    customer.application.test_client().get("/")
    carrying = [one["path"] for one in apis.requests if "Cookie" in one["headers"]]
    assert carrying == []


def test_calls_carry_the_trace_and_the_visitors_address(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    visitor.get("/", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    visitor.get("/theaters")
    first, *_, last = (one["headers"] for one in apis.requests)
    assert first["Traceparent"].split("-")[1] == trace
    assert last["Traceparent"].split("-")[1] != trace
    assert first["X-Forwarded-For"] == "127.0.0.1"


def test_name_and_phone_can_be_changed(customer: FlaskClient, apis: FakeApis) -> None:
    assert EMAIL in customer.get("/account").text
    customer.post("/account", data={"name": "Grace", "phone": "+44 20 7946 0000"})
    assert apis.people[EMAIL]["name"] == "Grace"
    assert "Saved." in customer.get("/account").text
    assert customer.post("/account", data={"name": ""}).status_code == 422


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


def test_a_ticket_tells_all_in_the_theaters_time(customer: FlaskClient, booking_id: str) -> None:
    page = customer.get(f"/bookings/{booking_id}").text
    for told in ("Casablanca", "18:30", "Phoenix, London", "Screen 1", "C4", "C5", "£25.00"):
        assert told in page


def test_a_ticket_without_its_code_says_it_is_coming(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    apis.bookings[booking_id]["ticket"] = None
    assert "Your ticket code is not ready yet" in customer.get(f"/bookings/{booking_id}").text


def test_a_booking_is_cancelled_after_asking_and_shows_the_refund(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    asked = customer.get(f"/bookings/{booking_id}/cancel").text
    assert "to your card: £25.00 for all of them" in asked
    answer = customer.post(f"/bookings/{booking_id}/cancel")
    page = customer.get(answer.location).text
    assert "Cancelled" in page
    assert "You cancelled this booking" in page
    assert "£25.00 is on its way to your card" in page
    assert "data-ticket" not in page
    apis.bookings[booking_id]["refund_state"] = "refunded"
    assert "£25.00 was refunded to your card" in customer.get("/bookings").text


def test_each_of_a_party_can_have_a_ticket(
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


def test_single_seats_are_given_back(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    asked = customer.get(f"/bookings/{booking_id}/cancel").text
    assert asked.count('type="checkbox"') == 2
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


def test_seats_that_may_not_go_alone_are_asked_about_again(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    told = "C4 would be left on its own. Cancel C5 instead."
    apis.fail(f"/api/booking/bookings/{booking_id}/cancel", 422, told, rule="gap")
    page = customer.post(f"/bookings/{booking_id}/cancel", data={"choose": "1", "seat": ["C4"]})
    assert page.status_code == 422
    assert told in page.text
    assert 'value="C4" checked' in page.text
    assert 'value="C5">' in page.text


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("show", "The cinema cancelled this show: The projector broke"),
        ("staff", "The cinema cancelled this booking: The projector broke"),
        ("provider", "The cinema cancelled this booking: The projector broke"),
        ("dispute_lost", "Your bank reversed the payment of this booking"),
    ],
)
def test_why_a_booking_was_cancelled_is_said(
    customer: FlaskClient, apis: FakeApis, booking_id: str, reason: str, told: str
) -> None:
    cancelled = {"cancel_reason": reason, "cancel_note": "The projector broke"}
    apis.bookings[booking_id] |= {"status": "cancelled", **cancelled}
    assert told in customer.get(f"/bookings/{booking_id}").text
    assert told in customer.get("/bookings").text


def test_why_staff_gave_a_part_back_is_said(
    customer: FlaskClient, apis: FakeApis, booking_id: str
) -> None:
    apis.bookings[booking_id]["refunds"] = [
        {"refund_cents": 500, "reason": "staff", "note": "The sound failed", "seats": []},
        {"refund_cents": 1250, "reason": "staff", "note": "Broken seat", "seats": ["C6"]},
    ]
    page = customer.get(f"/bookings/{booking_id}").text
    assert "The cinema refunded £5.00: The sound failed" in page
    assert "The cinema refunded £12.50 for C6: Broken seat" in page


def test_a_moved_show_shows_both_times_and_the_way_out(
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
