"""`cinesync payments stripe-setup`, against the stand-in and Stripe's own mock."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
import stripe
from click.testing import CliRunner, Result

from cinesync.cli import payments
from cinesync.cli.main import main
from cinesync.payment.gateways.stripe import open_stripe
from cinesync.payment.gateways.stripe_lifecycle import SUBSCRIBED_EVENTS
from cinesync.payment.gateways.stripe_setup import ensure_endpoint
from tests.integration.payment.gateways import test_stripe
from tests.integration.payment.stripe_stand_in import StripeStandIn, stripe_stand_in

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
stripe_mock = test_stripe.stripe_mock

URL = "https://shop.example/api/payment/webhooks/stripe"


@pytest.fixture
def stand_in() -> Iterator[StripeStandIn]:
    """In a thread of its own: the command has its own loop."""
    ready = threading.Event()
    found: list[tuple[StripeStandIn, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with stripe_stand_in() as one:
            over = asyncio.Event()
            found.append((one, asyncio.get_running_loop(), over))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert ready.wait(10)
    ((one, loop, over),) = found
    yield one
    loop.call_soon_threadsafe(over.set)
    thread.join()


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    settings = {"STRIPE_SECRET_KEY": "sk_test_1", "SHOP_URL": "https://shop.example/"}
    monkeypatch.setattr(payments, "environ", lambda: settings)
    return settings


def setup(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["payments", "stripe-setup", *arguments])


def test_the_endpoint_is_made_once_and_its_secret_is_shown(
    stand_in: StripeStandIn, environ: dict[str, str]
) -> None:
    environ["STRIPE_API_URL"] = stand_in.url
    first, again = setup(), setup()
    (endpoint,) = stand_in.endpoints.values()
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    assert first.stdout == f"STRIPE_WEBHOOK_SECRET=whsec_{endpoint['id']}\n"
    assert again.stdout == ""
    assert "exists; its events are up to date" in again.stderr
    assert (endpoint["url"], endpoint["api_version"]) == (URL, stripe.api_version)
    assert sorted(endpoint["enabled_events"]) == sorted(SUBSCRIBED_EVENTS)


def test_an_endpoint_with_too_few_events_is_brought_up_to_date(
    stand_in: StripeStandIn, environ: dict[str, str]
) -> None:
    environ["STRIPE_API_URL"] = stand_in.url
    other = {"id": "we_0", "object": "webhook_endpoint", "url": "https://other.example"}
    stand_in.endpoints["we_0"] = dict(other)
    stand_in.endpoints["we_1"] = other | {"id": "we_1", "url": URL, "enabled_events": ["*"]}
    assert setup().exit_code == 0
    assert sorted(stand_in.endpoints["we_1"]["enabled_events"]) == sorted(SUBSCRIBED_EVENTS)
    assert stand_in.endpoints["we_0"] == other, "another system's"


def test_a_lost_secret_is_replaced(stand_in: StripeStandIn, environ: dict[str, str]) -> None:
    environ["STRIPE_API_URL"] = stand_in.url
    first = setup("--url=https://shop.example")
    second = setup("--new-secret")
    assert len(stand_in.endpoints) == 1
    assert second.stdout.startswith("STRIPE_WEBHOOK_SECRET=whsec_")
    assert second.stdout != first.stdout


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY is not set"),
        ({"SHOP_URL": ""}, "give --url https://"),
        (
            {"SHOP_URL": "http://shop.example"},
            "Stripe cannot reach the shop at http://shop.example",
        ),
        ({"STRIPE_API_URL": "http://127.0.0.1:9"}, "Stripe does not answer"),
    ],
)
def test_what_is_wrong_is_one_line(
    environ: dict[str, str], wrong: dict[str, str], said: str
) -> None:
    environ |= wrong
    result = setup()
    assert result.exit_code != 0
    assert said in result.stderr


def test_a_refusal_of_stripe_is_shown_in_its_words(
    stand_in: StripeStandIn, environ: dict[str, str]
) -> None:
    environ["STRIPE_API_URL"] = stand_in.url
    stand_in.broken = True
    assert "Stripe refuses: broken" in setup().stderr


async def test_stripes_own_mock_understands_the_setup(stripe_mock: str) -> None:
    gateway = open_stripe("sk_test_1", "", api_url=stripe_mock, timeout_seconds=10)
    for _ in range(100):
        try:
            # Older than the version of the SDK, which the mock does not know yet.
            made = await ensure_endpoint(gateway.client, URL, renew=True, api_version="2024-06-20")
            break
        except stripe.APIConnectionError:
            await asyncio.sleep(0.1)  # it is still starting
    assert made.endpoint_id.startswith("we_")
    await gateway.client.v1.webhook_endpoints.update_async(
        made.endpoint_id, {"enabled_events": list(SUBSCRIBED_EVENTS), "disabled": False}
    )
    await gateway.close()
