"""Signing in and out, guests, registering, and tokens."""

import pytest
from flask.testing import FlaskClient

from tests.support.fake_apis.state import EMAIL, PASSWORD, FakeApis

CREDENTIALS = {"email": EMAIL, "password": PASSWORD}


def test_signing_in_leads_to_the_requested_page(visitor: FlaskClient) -> None:
    assert visitor.get("/bookings").location == "/sign-in?next=/bookings"
    answer = visitor.post("/sign-in", data=CREDENTIALS | {"next": "/bookings"})
    assert answer.location == "/bookings"
    assert "My bookings" in visitor.get("/").text


@pytest.mark.parametrize("path", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_signing_in_never_leads_to_another_host(visitor: FlaskClient, path: str) -> None:
    assert visitor.post("/sign-in", data=CREDENTIALS | {"next": path}).location == "/"


def test_a_wrong_password_is_a_sentence(visitor: FlaskClient) -> None:
    page = visitor.post("/sign-in", data=CREDENTIALS | {"password": "wrong"})
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
    page = visitor.post("/sign-in", data=CREDENTIALS)
    assert page.status_code == 429
    assert "please wait" in page.text


def test_an_auth_service_that_is_down_is_a_sentence(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/auth", 503)
    for path in ("/sign-in", "/guest"):
        page = visitor.post(path, data=CREDENTIALS)
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


def test_an_old_access_token_is_refreshed(customer: FlaskClient, apis: FakeApis) -> None:
    with customer.session_transaction() as stored:
        stored["access_until"] = 0
        old = stored["refresh"]
    assert customer.get("/bookings").status_code == 200
    assert len(apis.sent("/api/auth/refresh")) == 1
    with customer.session_transaction() as stored:
        assert stored["refresh"] != old


def test_two_tabs_use_one_refresh_token_once(customer: FlaskClient, apis: FakeApis) -> None:
    cookie = customer.get_cookie("cinesync")
    assert cookie
    with customer.session_transaction() as stored:
        stored["access_until"] = 0
    old = customer.get_cookie("cinesync")
    assert old
    for _ in range(2):
        customer.set_cookie("cinesync", old.value)
        assert customer.get("/bookings").status_code == 200
    assert len(apis.sent("/api/auth/refresh")) == 1


def test_an_expired_refresh_token_asks_to_sign_in(customer: FlaskClient, apis: FakeApis) -> None:
    apis.refresh_tokens.clear()
    with customer.session_transaction() as stored:
        stored["access_until"] = 0
    assert customer.get("/bookings").location == "/sign-in?next=/bookings"
    assert "Sign in" in customer.get("/").text


def test_a_guest_without_refresh_token_signs_in_again(customer: FlaskClient) -> None:
    with customer.session_transaction() as stored:
        stored["access_until"] = 0
        stored["refresh"] = None
    assert customer.get("/bookings").location == "/sign-in?next=/bookings"


def test_an_auth_service_that_is_down_does_not_sign_anyone_out(
    customer: FlaskClient, apis: FakeApis
) -> None:
    with customer.session_transaction() as stored:
        stored["access_until"] = 0
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
