"""Every documented operation, with good and bad input: no crash, nothing undocumented."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from tests.support.shop import Client, RunningShop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.no_cover,  # what it visits runs in other processes
    pytest.mark.xdist_group("shop"),
]

SERVICES = ("auth", "movies", "booking", "payment", "ledger")
FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A stream that does not end is not a question with an answer.
STREAMS = ".*/live$"


@pytest.fixture(scope="module")
def manager(shop: RunningShop) -> Client:
    """The role that may do most, so that guards do not hide what is behind them."""
    return shop.member("manager")


def _ask(case: "schemathesis.Case[Any]", client: Client) -> None:
    response = case.call(headers={"Authorization": f"Bearer {client.token}"})
    asked = f"{case.method} {case.formatted_path}: {response.status_code} {response.text}"
    assert response.status_code < 500 or response.status_code == 503, asked
    if response.status_code >= 400:
        assert response.headers["content-type"][0].startswith("application/problem+json"), asked


@pytest.mark.parametrize("service", SERVICES)
def test_no_documented_operation_crashes(shop: RunningShop, manager: Client, service: str) -> None:
    schema = schemathesis.openapi.from_url(f"{shop.url}/api/{service}/openapi.json")
    found = list(schema.exclude(path_regex=STREAMS).get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found) > 0
    for operation in operations:

        @FUZZ
        @given(case=operation.as_strategy())
        def ask(case: "schemathesis.Case[Any]") -> None:
            _ask(case, manager)

        ask()


@pytest.mark.parametrize("service", SERVICES)
def test_every_api_is_described_in_openapi_3_1_and_browsable(
    shop: RunningShop, service: str
) -> None:
    described = httpx.get(f"{shop.url}/api/{service}/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    page = httpx.get(f"{shop.url}/api/{service}/docs", follow_redirects=True)
    assert page.status_code == 200
    assert "http://" not in page.text.replace(shop.url, "")
    assert "https://" not in page.text
