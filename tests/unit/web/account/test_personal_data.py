"""The visitor's own data: one file of all of it, and its end."""

from flask.testing import FlaskClient

from tests.support.fake_apis.state import EMAIL, PASSWORD, FakeApis, id_of

SURE = {"password": PASSWORD, "sure": "y"}


def test_the_data_of_every_service_is_in_one_file(customer: FlaskClient) -> None:
    assert 'href="/account/data"' in customer.get("/account").text
    assert 'href="/account/data.json"' in customer.get("/account/data").text
    file = customer.get("/account/data.json")
    assert file.headers["Content-Disposition"].startswith("attachment;")
    assert file.headers["Cache-Control"] == "no-store"
    found = file.get_json()
    assert found["auth"] == {"account": {"email": EMAIL}}
    for service in ("booking", "payment", "ledger"):
        assert found[service] == [{"kind": service, "number": n} for n in range(3)]


def test_an_account_is_erased_with_its_password_and_signs_out(
    customer: FlaskClient, apis: FakeApis
) -> None:
    answer = customer.post("/account/data/erase", data=SURE)
    assert answer.location == "/"
    assert EMAIL not in apis.people
    page = customer.get("/").text
    assert "are erased" in page
    assert "Sign in" in page


def test_erasure_needs_the_password_and_the_tick(customer: FlaskClient, apis: FakeApis) -> None:
    unsure = customer.post("/account/data/erase", data={"password": PASSWORD})
    assert (unsure.status_code, "Please tick the box." in unsure.text) == (422, True)
    wrong = customer.post("/account/data/erase", data=SURE | {"password": "a guess"})
    assert (wrong.status_code, "password is not right" in wrong.text) == (401, True)
    assert customer.get("/account/erase?code=abc").status_code == 200
    assert EMAIL in apis.people


def test_unfinished_business_is_listed_with_links(customer: FlaskClient, apis: FakeApis) -> None:
    booking_id = id_of("a booking")
    apis.unfinished = [
        {"kind": "booking", "booking_id": booking_id, "movie_title": "Metropolis"},
        {"kind": "hold", "booking_id": id_of("a hold"), "movie_title": "M"},
        {"kind": "refund", "payment_id": id_of("a payment")},
        {"kind": "refund", "payment_id": id_of("a payment")},
        {"kind": "dispute"},
        {"kind": "payment"},
    ]
    page = customer.post("/account/data/erase", data=SURE)
    assert page.status_code == 409
    assert f'href="/bookings/{booking_id}"' in page.text
    assert "Metropolis" in page.text
    assert page.text.count("A refund on its way to you") == 1
    assert "dispute with your bank" in page.text


def test_a_guest_erases_by_mail(visitor: FlaskClient, apis: FakeApis) -> None:
    visitor.post("/guest", data={"email": "guest@example.org"})
    page = visitor.get("/account/data").text
    assert "Send me a link" in page
    assert 'name="password"' not in page
    visitor.post("/account/data/link")
    [(code, email)] = apis.links.items()
    assert (code.startswith("erase"), email) == (True, "guest@example.org")
    assert "We have sent a link to guest@example.org" in visitor.get("/account/data").text


def test_the_mailed_link_erases_without_a_sign_in(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.links["abc"] = EMAIL
    assert 'value="abc"' in visitor.get("/account/erase?code=abc").text
    apis.unfinished = [{"kind": "hold"}]
    assert visitor.post("/account/erase", data={"code": "abc", "sure": "y"}).status_code == 409
    apis.unfinished = []
    assert visitor.post("/account/erase", data={"code": "abc"}).status_code == 422
    assert visitor.post("/account/erase", data={"code": "abc", "sure": "y"}).location == "/"
    assert EMAIL not in apis.people
    spent = visitor.post("/account/erase", data={"code": "x", "sure": "y"})
    assert (spent.status_code, "used already" in spent.text) == (401, True)


def test_services_that_are_down_are_a_sentence(customer: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/auth/me/erase", 503)
    page = customer.post("/account/data/erase", data=SURE)
    assert (page.status_code, "nothing was erased" in page.text) == (503, True)
    apis.fail("/api/auth/me/erase", 403)
    assert "This is a staff account" in customer.post("/account/data/erase", data=SURE).text
    apis.fail("/api/auth/links", 429, "Too many attempts; please wait.")
    assert "please wait" in customer.post("/account/data/link").text


def test_nobody_sees_these_pages_without_a_sign_in(visitor: FlaskClient) -> None:
    for path in ("/account/data", "/account/data.json"):
        assert visitor.get(path).location.startswith("/sign-in?next=")
