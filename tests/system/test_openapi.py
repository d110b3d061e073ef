"""Every documented operation, with good and bad input: no crash, nothing undocumented."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from tests.system.shop import Client, Shop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shop")]

SERVICES = ("auth", "movies", "booking", "payment")
FUZZ = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A stream that does not end is not a question with an answer.
STREAMS = ".*/live$"


@pytest.fixture(scope="module")
def manager(shop: Shop) -> Iterator[Client]:
    """The role that may do most, so that guards do not hide what is behind them."""
    client = Client(shop.url).sign_in("manager@cinesync.example", "popcorn-and-a-movie")
    yield client
    client.close()


def _schema(shop: Shop, service: str) -> Any:
    schema = schemathesis.openapi.from_url(f"{shop.url}/api/{service}/openapi.json")
    return schema.exclude(path_regex=STREAMS)


@pytest.fixture(scope="module")
def auth_schema(shop: Shop) -> Any:
    return _schema(shop, "auth")


@pytest.fixture(scope="module")
def movies_schema(shop: Shop) -> Any:
    return _schema(shop, "movies")


@pytest.fixture(scope="module")
def booking_schema(shop: Shop) -> Any:
    return _schema(shop, "booking")


@pytest.fixture(scope="module")
def payment_schema(shop: Shop) -> Any:
    return _schema(shop, "payment")


def _ask(case: "schemathesis.Case[Any]", client: Client) -> None:
    response = case.call(headers={"Authorization": f"Bearer {client.token}"})
    assert response.status_code < 500 or response.status_code == 503, response.text
    if response.status_code >= 400:
        assert response.headers["content-type"][0].startswith("application/problem+json")


@schemathesis.pytest.from_fixture("auth_schema").parametrize()
@FUZZ
def test_auth_never_crashes(case: "schemathesis.Case[Any]", manager: Client) -> None:
    _ask(case, manager)


@schemathesis.pytest.from_fixture("movies_schema").parametrize()
@FUZZ
def test_movies_never_crashes(case: "schemathesis.Case[Any]", manager: Client) -> None:
    _ask(case, manager)


@schemathesis.pytest.from_fixture("booking_schema").parametrize()
@FUZZ
def test_booking_never_crashes(case: "schemathesis.Case[Any]", manager: Client) -> None:
    _ask(case, manager)


@schemathesis.pytest.from_fixture("payment_schema").parametrize()
@FUZZ
def test_payment_never_crashes(case: "schemathesis.Case[Any]", manager: Client) -> None:
    _ask(case, manager)


@pytest.mark.parametrize("service", SERVICES)
def test_every_api_is_described_in_openapi_3_1_and_browsable(shop: Shop, service: str) -> None:
    described = httpx.get(f"{shop.url}/api/{service}/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    page = httpx.get(f"{shop.url}/api/{service}/docs", follow_redirects=True)
    assert page.status_code == 200
    assert "http://" not in page.text.replace(shop.url, "")
    assert "https://" not in page.text
