"""The customer's own profile."""

from flask.testing import FlaskClient

from tests.support.fake_apis.state import EMAIL, FakeApis


def test_name_and_phone_can_be_changed(customer: FlaskClient, apis: FakeApis) -> None:
    assert EMAIL in customer.get("/account").text
    customer.post("/account", data={"name": "Grace", "phone": "+44 20 7946 0000"})
    assert apis.people[EMAIL]["name"] == "Grace"
    assert "Saved." in customer.get("/account").text
    assert customer.post("/account", data={"name": ""}).status_code == 422
