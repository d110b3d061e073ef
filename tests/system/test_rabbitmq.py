"""A whole shop over a real broker that is killed while it sells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cinesync.contracts import CONSUMERS
from tests.support.rabbitmq_server import RabbitMqServer
from tests.support.shop import RunningShop
from tests.system.test_crash import assert_books_are_whole, buy

pytestmark = [pytest.mark.slow, pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]


@pytest.fixture(scope="module")
def shop(broker: RabbitMqServer, filled: Path) -> Iterator[RunningShop]:
    shop = RunningShop(
        filled, module="tests.system.fault_injection", RABBITMQ_URL=broker.url
    ).start()
    yield shop
    shop.stop()


def test_a_purchase_goes_through_the_broker(shop: RunningShop) -> None:
    client = shop.client().sign_up()
    buy(client, client.a_show()["show_id"])
    assert_books_are_whole(shop)


def test_a_killed_broker_loses_no_purchase(shop: RunningShop, broker: RabbitMqServer) -> None:
    clients = [shop.client().sign_up() for _ in range(3)]
    show_id = clients[0].a_show(1)["show_id"]
    holds = [client.hold_best(show_id, 1)["hold_id"] for client in clients]
    broker.kill()
    for client, hold_id in zip(clients, holds, strict=True):
        assert client.pay(hold_id).json()["status"] == "success"
    broker.start()
    for client, hold_id in zip(clients, holds, strict=True):
        client.confirmed(hold_id)
    assert_books_are_whole(shop)


@pytest.mark.parametrize(
    ("moment", "command"),
    [("before", "mark_sent"), ("before", "_apply"), ("after", "_apply")],
)
def test_a_kill_between_commit_publish_and_ack_loses_nothing(
    shop: RunningShop, moment: str, command: str
) -> None:
    client = shop.client().sign_up()
    show_id = client.a_show(2)["show_id"]
    shop.plan_fault(moment, command)
    booking_id = buy(client, show_id)
    assert shop.fault_happened()
    assert client.confirmed(booking_id)["status"] == "confirmed"
    assert_books_are_whole(shop)


def test_migrate_declares_the_queues_that_are_missing(shop: RunningShop) -> None:
    done = shop.cinesync("migrate")
    count = sum(len(services) for services in CONSUMERS.values())
    assert f"RabbitMQ: {count} queues" in done.stdout, done.stderr
