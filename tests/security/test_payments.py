"""Stolen cards tried out, a hold paid many times over, test cards in a shop with real money."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.shop import RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("security-payments")]

STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_of_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_that_is_as_long_as_it_has_to_be",
    "STRIPE_API_URL": "http://127.0.0.1:9",
}


@pytest.fixture(scope="module")
def shop(filled: Path) -> Iterator[RunningShop]:
    shop = RunningShop(filled, PAYMENT_FAILURES_PER_ADDRESS="25").start()
    yield shop
    audit = shop.cinesync("audit", "--settled", "--data", str(shop.data_folder.path))
    shop.stop()
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_twenty_payments_at_once_are_captured_once(shop: RunningShop) -> None:
    client = shop.client().sign_up()
    hold_id = client.hold_best(client.a_show()["show_id"], 2)["hold_id"]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.pay(hold_id), range(20)))
    said = Counter(answer.json().get("type", answer.status_code) for answer in answers)
    assert said[201] == 1
    assert set(said) <= {201, "/problems/already-paid", "/problems/payment-underway"}
    assert client.confirmed(hold_id)["refused_payments"] == []
    mine = client.get("/api/payment/payments")["items"]
    assert [payment["status"] for payment in mine] == ["success"]
    late = client.pay(hold_id)
    assert (late.status_code, late.json()["type"]) == (409, "/problems/already-paid")
    assert late.json()["booking_id"] == hold_id


def test_cards_cannot_be_tried_out_on_holds(shop: RunningShop) -> None:
    """120 declined payments on one hold came before a success; now ten do, and 25 an address."""
    client = shop.client().sign_up()
    said: list[str] = []
    for number in range(1, 4):
        hold_id = client.hold_best(client.a_show(number)["show_id"], 2)["hold_id"]
        answers = [client.pay(hold_id, "tok_decline") for _ in range(11)]
        said += [answer.json().get("type", "declined") for answer in answers]
        assert client.pay(hold_id).status_code == 429
    assert Counter(said)["declined"] == 25
    assert said[10] == said[21] == "/problems/too-many-attempts"
    assert said[-1] == "/problems/too-many-failures"
    someone = shop.client().sign_up()
    hold_id = someone.hold_best(someone.a_show(4)["show_id"], 2)["hold_id"]
    refused = someone.pay(hold_id)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-failures")
    assert int(refused.headers["retry-after"]) > 0


@pytest.fixture(scope="module")
def real_shop(filled: Path) -> Iterator[RunningShop]:
    shop = RunningShop(filled, **STRIPE).start()
    yield shop
    shop.stop()


def test_a_shop_with_a_real_provider_gives_nothing_for_a_test_card(real_shop: RunningShop) -> None:
    client = real_shop.client().sign_up()
    hold_id = client.hold_best(client.a_show()["show_id"], 2)["hold_id"]
    for token in ("tok_approve", "tok_late", "tok_success_twice"):
        answer = client.pay(hold_id, token)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-provider")
    webhook = client.call("POST", "/api/payment/webhooks/sandbox", json={"event_id": "evt_1"})
    assert webhook.status_code == 422
    assert client.get("/api/payment/provider") == {
        "provider": "stripe",
        "takes_test_cards": False,
    }
    assert client.get("/api/payment/payments")["items"] == []


def test_a_shop_with_a_real_provider_runs_no_bank(real_shop: RunningShop) -> None:
    running: list[list[bytes]] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            running.append(file.read_bytes().split(b"\0"))
    mine = [line for line in running if str(real_shop.data_folder.path) in str(line)]
    assert mine, "PostgreSQL and the validators"
    assert not [line for line in mine if b"bank" in line]
    assert "BANK_URL" not in real_shop.supervisor.environ
    log = (real_shop.data_folder.logs / "shop.log").read_text()
    assert '"takes_real_money":true' in log


def test_the_storefront_of_a_real_shop_mentions_no_test_card(real_shop: RunningShop) -> None:
    page = real_shop.client().call("GET", "/")
    assert page.status_code == 200
    assert "test card" not in page.text
