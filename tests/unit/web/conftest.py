"""The pages with fake APIs, and a visitor."""

from collections.abc import Iterator

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from cinesync.web.app import Settings, create
from tests.support.fake_apis import api, state
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis.ledger import FakeLedger
from tests.support.fake_apis.state import FakeApis


class Switch(httpx.BaseTransport):
    """Leads to the APIs of whichever test is running."""

    def __init__(self) -> None:
        self.inner: httpx.BaseTransport = httpx.MockTransport(lambda _: httpx.Response(503))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.inner.handle_request(request)


@pytest.fixture(scope="session")
def switch() -> Switch:
    return Switch()


@pytest.fixture(scope="session")
def storefront(switch: Switch) -> Flask:
    """One for all tests: compiling the templates is what takes time."""
    return create(Settings("http://api.test", "a secret of tests"), switch)


@pytest.fixture
def apis() -> FakeApis:
    return state.create_apis()


@pytest.fixture
def ledger() -> FakeLedger:
    return fake_ledger.create_ledger()


@pytest.fixture
def app(
    storefront: Flask,
    switch: Switch,
    apis: FakeApis,
    ledger: FakeLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Flask]:
    monkeypatch.setitem(storefront.config, "WTF_CSRF_ENABLED", value=False)
    with httpx.WSGITransport(api.build(apis, ledger)) as transport:
        monkeypatch.setattr(switch, "inner", transport)
        storefront.extensions.pop("genesis", None)
        yield storefront


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def customer(visitor: FlaskClient) -> FlaskClient:
    """A visitor who has signed in."""
    who = {"email": state.EMAIL, "password": state.PASSWORD}
    assert visitor.post("/sign-in", data=who).status_code == 303
    return visitor
