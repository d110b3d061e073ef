"""Headers, cookies, forgeries, and errors that are a sentence and a way on."""

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from cinesync.chassis.settings import SettingsError, load
from cinesync.web import formats
from cinesync.web.app import Settings, create
from cinesync.web.security import safe_path
from tests.support.fake_apis import api, state
from tests.support.fake_apis.state import EMAIL, PASSWORD, SHOW, FakeApis

pytestmark = pytest.mark.slow

CREDENTIALS = {"email": EMAIL, "password": PASSWORD}


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/cinesync.css"])
def test_every_response_forbids_foreign_code_and_frames(visitor: FlaskClient, path: str) -> None:
    with visitor.get(path) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in headers


def test_private_pages_are_not_stored_and_static_files_are(customer: FlaskClient) -> None:
    for path in ("/", f"/shows/{SHOW}", "/account"):
        assert customer.get(path).headers["Cache-Control"] == "private, no-store"
    visitor = customer.application.test_client()
    for path in ("/sign-in", f"/shows/{SHOW}", "/nowhere"):
        assert visitor.get(path).headers["Cache-Control"] == "private, no-store"
    for path in ("/static/cinesync.css", "/bootstrap/static/css/bootstrap.min.css"):
        with visitor.get(path) as file:
            assert file.status_code == 200
            assert "max-age=300" in file.headers["Cache-Control"]


def test_the_session_cookie_is_out_of_reach(visitor: FlaskClient) -> None:
    cookie = visitor.post("/sign-in", data=CREDENTIALS).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_secure_and_https_is_required(visitor: FlaskClient) -> None:
    answer = visitor.post("/sign-in", data=CREDENTIALS, base_url="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_forwarded_headers_count_only_from_trusted_proxies(apis: FakeApis) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    with httpx.WSGITransport(api.build(apis)) as transport:
        for count in (0, 1):
            app = create(Settings("http://api.test", "secret", count), transport)
            answer = app.test_client().get("/", headers=headers)
            assert ("Strict-Transport-Security" in answer.headers) == bool(count)
    first, *_, last = (one["headers"]["X-Forwarded-For"] for one in apis.requests)
    assert [first, last] == ["127.0.0.1", "198.51.100.7"]


@pytest.mark.parametrize(
    "path",
    ["/sign-in", "/guest", "/register", "/sign-out", "/account", f"/shows/{SHOW}/hold"],
)
def test_a_forged_form_is_refused_with_a_way_on(
    app: Flask, path: str, apis: FakeApis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", value=True)
    page = app.test_client().post(path, data=CREDENTIALS)
    assert page.status_code == 400
    assert "This form has expired" in page.text
    assert "To the movies" in page.text
    assert not any(one["method"] == "POST" for one in apis.requests)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"}, 400),
        ({"Sec-Fetch-Site": "cross-site"}, 400),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://evil.example"}, 400),
        ({"Origin": "null"}, 400),
    ],
)
def test_seats_are_held_from_a_page_of_ours_without_a_token(
    app: Flask, headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seat map is the same for everybody, so it has no token of anyone's session."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", value=True)
    visitor = app.test_client()
    page = visitor.post(f"/shows/{SHOW}/hold", data={"seat": "C4"}, headers=headers)
    assert page.status_code == status
    assert visitor.post("/sign-in", data=CREDENTIALS, headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("path", "led_to"),
    [
        ("/bookings?after=1", "/bookings?after=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_visitors_are_only_sent_to_pages_of_the_shop(path: str | None, led_to: str) -> None:
    assert safe_path(path) == led_to


def test_an_api_that_is_down_is_a_page_that_can_be_tried_again(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    apis.fail("/api/movies", 503)
    page = visitor.get("/?genre=Drama")
    assert page.status_code == 503
    assert 'href="/?genre=Drama"' in page.text
    assert page.headers["Retry-After"] == "5"


def test_an_unreadable_response_is_an_error_page(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.garbled.add("/api/movies/theaters")
    page = visitor.get("/theaters")
    assert page.status_code == 502
    assert "html>gateway" not in page.text


def test_a_refusal_without_problem_details_is_an_error_page(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    page = visitor.get("/theaters?city=London&limit=x", headers={"Cookie": "x=y"})
    assert page.status_code == 200
    apis.fail("/api/movies/theaters", 422, "`city` is a text.")
    page = visitor.get("/theaters")
    assert page.status_code == 422
    assert "`city` is a text." in page.text


def test_a_response_that_is_no_problem_document_is_an_error_page(visitor: FlaskClient) -> None:
    def proxy(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(504, text="<h1>gateway timeout</h1>")

    wanted = Settings("http://api.test", "secret")
    page = create(wanted, httpx.MockTransport(proxy)).test_client().get("/")
    assert page.status_code == 502
    assert "gateway timeout" not in page.text


def test_a_bug_is_a_page_without_a_trace(
    app: Flask, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr("cinesync.web.storefront.browse._chosen", broken)
    page = visitor.get("/")
    assert page.status_code == 500
    assert "That was our fault" in page.text
    assert "secret inside" not in page.text
    assert "Traceback" not in page.text


def test_a_bug_in_the_base_page_is_still_an_error_page(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.web.session.current_hold", None)
    page = visitor.get("/")
    assert page.status_code == 500
    assert 'href="/"' in page.text


def test_unknown_pages_and_wrong_methods_are_pages(visitor: FlaskClient) -> None:
    assert "Page not found" in visitor.get("/nowhere").text
    assert visitor.get("/movies/1").status_code == 404
    assert visitor.get("/sign-out").status_code == 405


def test_a_huge_form_is_refused(visitor: FlaskClient) -> None:
    page = visitor.post("/sign-in", data={"email": "x" * 100_000})
    assert page.status_code == 413


def test_another_customers_booking_is_not_found(customer: FlaskClient, apis: FakeApis) -> None:
    page = customer.get(f"/bookings/{state.id_of('someone else')}")
    assert page.status_code == 404


def test_settings_name_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="API_URL") as missing:
        create(load(Settings, {}))
    assert "SECRET_KEY" in str(missing.value)
    app = create(
        load(
            Settings,
            {
                "API_URL": "http://127.0.0.1:1",
                "SECRET_KEY": "a secret that is as long as it has to be",
            },
        )
    )
    assert app.test_client().get("/sign-in").status_code == 200


def test_a_long_language_header_is_cut_off() -> None:
    """Some thousands of them, each as long as a server lets through, would fill the memory."""
    endless = "fr," + "x" * formats.LANGUAGES_CHARS_MAX
    found = formats.best_locale(endless)
    looked_up = formats._best_locale.cache_info()
    assert formats.best_locale(endless + "y") == found
    assert formats._best_locale.cache_info().hits == looked_up.hits + 1, "the same as before"
