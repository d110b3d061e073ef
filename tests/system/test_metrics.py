"""What is documented is what is exported, and it counts what there is."""

import importlib
import pkgutil
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

import cinesync
from cinesync.supervisor.metrics_server import HELP
from tests.support.eventually import wait_for
from tests.support.shop import Client, RunningShop

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations" / "health.md"
NAME = re.compile(r"`(cinesync_[a-z_]+)`")
UNITS = ("_total", "_seconds", "_bytes", "_minor_units")
# Prometheus: a counter ends in _total; what has a unit ends in it.
COUNTS = frozenset({"gauge", "histogram"})


def exported() -> dict[str, str]:
    """Name and kind of all there are, in every module."""
    for module in pkgutil.walk_packages(cinesync.__path__, "cinesync."):
        if not {"migrations", "alembic"} & set(module.name.split(".")):  # run by Alembic
            importlib.import_module(module.name)
    families = [one for one in REGISTRY.collect() if one.name.startswith("cinesync_")]
    own = {one.name + "_total" * (one.type == "counter"): one.type for one in families}
    return own | {name: kind for name, (kind, _) in HELP.items()}


def test_every_metric_is_documented_and_every_documented_one_exported() -> None:
    text = OPERATIONS.read_text()
    table = text[text.index("## Metrics") : text.index("## Traces")]
    assert set(NAME.findall(table)) == set(exported())


def test_metrics_are_named_as_prometheus_wants() -> None:
    for name, kind in exported().items():
        assert re.fullmatch(r"cinesync_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == (kind == "counter"), name


def value(text: str, sample: str) -> float | None:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def metrics(url: str) -> str:
    answer = httpx.get(f"{url}/metrics", timeout=30)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.slow
@pytest.mark.no_cover
def test_a_shop_counts_its_holds_money_validators_and_loops(shop: RunningShop) -> None:
    client: Client = shop.client().sign_in_as_guest()
    client.hold_best(client.a_show()["show_id"], 2)

    def says(sample: str, least: float) -> bool:
        return (value(metrics(shop.url), sample) or 0.0) >= least

    wait_for(lambda: says('cinesync_holds{state="live"}', 1), "a live hold")
    wait_for(lambda: says("cinesync_holds_seats", 2), "its seats")
    wait_for(lambda: says("cinesync_holds_next_expiry_seconds", 1), "it runs out")
    wait_for(lambda: says("cinesync_validators_up", 4), "four validators")
    wait_for(lambda: says('cinesync_validator_up{validator="3"}', 1), "each of them")
    wait_for(lambda: says('cinesync_provider_up{provider="sandbox"}', 1), "the bank")
    for sample in (
        'cinesync_loop_alive{loop="payment.relay"}',
        'cinesync_loop_alive{loop="ledger.submitter"}',
        'cinesync_loop_alive{loop="metrics"}',
        'cinesync_database_connections_max{service="booking"}',
        "cinesync_intake_open",
        "cinesync_disk_free_bytes",
    ):
        wait_for(lambda sample=sample: says(sample, 1), sample)  # type: ignore[misc]
    assert value(metrics(shop.url), 'cinesync_outbox_oldest_seconds{service="payment"}') is not None


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_bank_and_the_supervisor_export_metrics(shop: RunningShop) -> None:
    bank = shop.supervisor.environ["BANK_URL"]
    assert value(metrics(bank), 'cinesync_loop_alive{loop="bank.webhooks"}') == 1
    proxied = httpx.get(f"{bank}/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
    assert proxied.status_code == 404
    url = wait_for(lambda: shop.data_folder.running().get("supervisor_metrics_url"), "it is told")
    text = metrics(url.removesuffix("/metrics"))
    for process in ("shop", "bank", "validator-0", "postgres"):
        assert value(text, f'cinesync_process_up{{process="{process}"}}') == 1
        assert value(text, f'cinesync_process_restarts_total{{process="{process}"}}') is not None
    assert httpx.get(url.replace("/metrics", "/else")).status_code == 404
