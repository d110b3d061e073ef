"""Signing in by a mailed link, and the cookie of a known device."""

from flask.testing import FlaskClient

from tests.support.fake_apis.state import EMAIL, PASSWORD, FakeApis


def test_requesting_a_link_does_not_reveal_who_has_an_account(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    assert 'href="/sign-in/link"' in visitor.get("/sign-in").text
    page = visitor.post("/sign-in/link", data={"email": EMAIL})
    assert f"If <strong>{EMAIL}</strong> has an account" in page.text
    assert list(apis.links.values()) == [EMAIL]
    assert visitor.post("/sign-in/link", data={"email": "nobody"}).status_code == 422


def test_opening_a_link_uses_nothing_up_and_its_button_signs_in(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    apis.links["abc"] = EMAIL
    for _ in range(2):
        page = visitor.get("/sign-in/link?code=abc")
        assert 'value="abc"' in page.text
        assert page.headers["Cache-Control"] == "no-store"
    assert visitor.post("/sign-in/link/use", data={"code": "abc"}).location == "/account"
    assert "Sign out" in visitor.get("/").text
    again = visitor.post("/sign-in/link/use", data={"code": "abc"})
    assert again.status_code == 401
    assert "used already" in again.text


def test_a_new_password_is_set_with_the_link(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.links["abc"] = EMAIL
    data = {"code": "abc", "password": "a quite new passphrase"}
    assert visitor.post("/sign-in/link/use", data=data).status_code == 303
    assert apis.people[EMAIL]["password"] == "a quite new passphrase"
    assert "Your new password is set." in visitor.get("/account").text


def test_a_new_password_that_auth_refuses_is_explained_beside_its_field(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    errors = [{"key": "password", "message": "8 to 128 characters"}]
    apis.fail("/api/auth/links/use", 400, "Wrong.", errors=errors)
    page = visitor.post("/sign-in/link/use", data={"code": "a code", "password": "short"})
    assert page.status_code == 400
    assert "8 to 128 characters" in page.text
    assert "Wrong." not in page.text


def test_an_auth_service_that_is_down_is_a_sentence(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/auth", 503)
    for path, data in (("/sign-in/link", {"email": EMAIL}), ("/sign-in/link/use", {"code": "a"})):
        page = visitor.post(path, data=data)
        assert page.status_code == 503
        assert "does not work right now" in page.text


def test_the_device_is_known_after_signing_in_and_still_after_signing_out(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    who = {"email": EMAIL, "password": PASSWORD}
    first = visitor.post("/sign-in", data=who)
    [cookie] = [c for c in first.headers.getlist("Set-Cookie") if c.startswith("cinesync_device=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    visitor.post("/sign-out")
    visitor.post("/sign-in", data=who)
    device = visitor.get_cookie("cinesync_device")
    assert device is not None
    assert apis.devices == [None, device.value]


def test_a_cookie_that_can_be_no_device_is_not_passed_on(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    visitor.set_cookie("cinesync_device", "x; cinesync_refresh=stolen")
    visitor.post("/sign-in", data={"email": EMAIL, "password": PASSWORD})
    assert apis.devices == [None]
