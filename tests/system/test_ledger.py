"""I4 and I6 in a whole shop: everything is recorded once, and nobody waits for it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.support.eventually import wait_for
from tests.support.shop import RunningShop
from tests.system.test_crash import assert_books_are_whole, buy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crash")]


@contextmanager
def frozen(shop: RunningShop, *numbers: int) -> Iterator[None]:
    """Validators that neither answer nor end, as behind a cut cable."""
    pids = [shop.supervisor.validators[number].pid for number in numbers]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _height(shop: RunningShop) -> int:
    status = shop.client().get("/api/ledger/status")
    return max(int(validator.get("height", 0)) for validator in status["validators"])


def _kill_primary(shop: RunningShop) -> bool:
    """The primary of the newest view that anybody is in; False when it is down already."""
    status = shop.client().get("/api/ledger/status")
    answering = [validator for validator in status["validators"] if validator["answers"]]
    newest = max(answering, key=lambda validator: int(validator["view"]))
    try:
        os.kill(shop.supervisor.validators[newest["primary"]].pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_a_ledger_without_a_quorum_delays_no_purchase(killable_shop: RunningShop) -> None:
    client = killable_shop.client().sign_up()
    show_id = client.a_show(9)["show_id"]
    with frozen(killable_shop, 2, 3):
        booking_id = buy(client, show_id)
        recorded = client.get(f"/api/ledger/entries?booking_id={booking_id}")["items"]
        assert recorded == []
    assert_books_are_whole(killable_shop)
    recorded = client.get(f"/api/ledger/entries?booking_id={booking_id}")["items"]
    kinds = [one["entry"]["kind"] for one in recorded]
    assert sorted(kinds) == ["booking.confirmed", "payment.success"]


def test_entries_flow_while_the_primary_is_killed_again_and_again(
    killable_shop: RunningShop,
) -> None:
    show_id = killable_shop.client().a_show(10)["show_id"]
    before = _height(killable_shop)
    for _ in range(3):
        wait_for(partial(_kill_primary, killable_shop), "a primary to kill")
        buy(killable_shop.client().sign_up(), show_id)
    assert_books_are_whole(killable_shop)
    assert _height(killable_shop) > before


def test_every_replica_has_the_same_bytes_in_the_end(killable_shop: RunningShop) -> None:
    def agrees() -> bool:
        audited = killable_shop.cinesync(
            "ledger", "audit", "--data", str(killable_shop.data_folder.path)
        )
        counts = {line.split(": ")[1] for line in audited.stdout.splitlines()[:4]}
        return audited.returncode == 0 and len(counts) == 1

    wait_for(agrees, "four equal replicas")
