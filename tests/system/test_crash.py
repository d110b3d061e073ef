"""I3: kill -9 of any process at any step of a purchase loses nothing that was acknowledged."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import pytest

from cinesync.supervisor import watchdog
from cinesync.supervisor.embedded import EmbeddedShop
from cinesync.supervisor.infrastructure import VALIDATORS
from cinesync.supervisor.ports import free_port
from tests.support.eventually import wait_for
from tests.support.shop import (
    Client,
    RunningShop,
    UpProcess,
    command,
    copy_files,
    temporary_folder,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crash")]

PURCHASES_UNDER_FIRE = 12


def buy(client: Client, show_id: str, token: str = "tok_approve") -> str:
    """The booking's id, once it is confirmed. Repeats what gets no answer; a payment that turns
    out to have failed, because the bank never heard of it, is made again."""
    hold_id: str = client.hold_best(show_id, 1)["hold_id"]

    def is_paid() -> bool:
        paid = client.pay(hold_id, token, str(uuid4()))
        if paid.status_code == 409:  # the payment before went through after all
            return True
        assert paid.status_code in {201, 202}, paid.text
        payment_id = paid.json()["payment_id"]
        wait_for(lambda: client.payment(payment_id)["status"] != "pending", "decided")
        return bool(client.payment(payment_id)["status"] == "success")

    wait_for(is_paid, f"{hold_id} paid")
    assert client.confirmed(hold_id)["booking_id"] == hold_id
    return hold_id


def assert_books_are_whole(shop: RunningShop) -> None:
    audit = shop.cinesync("audit", "--settled", "--data", str(shop.data_folder.path))
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_a_kill_before_or_after_any_commit_of_a_purchase_loses_nothing(
    killable_shop: RunningShop,
) -> None:
    show_id = killable_shop.client().a_show()["show_id"]
    killable_shop.forget_commands()
    buy(killable_shop.client().sign_up(), show_id)
    steps = killable_shop.commands_seen()
    assert len(steps) >= 6, steps
    bought: dict[str, Client] = {}
    for step in steps:
        for moment in ("before", "after"):
            killable_shop.plan_fault(moment, step)
            client = killable_shop.client().sign_up()
            bought[buy(client, show_id)] = client
            wait_for(killable_shop.fault_happened, f"killed {moment} {step}")
    for booking_id, client in bought.items():
        assert client.confirmed(booking_id)["status"] == "confirmed"
    assert_books_are_whole(killable_shop)


@pytest.mark.parametrize("part", ["postgres", "bank", "shop"])
def test_killing_a_process_under_load_loses_nothing(killable_shop: RunningShop, part: str) -> None:
    show_id = killable_shop.client().a_show(2)["show_id"]
    clients = [killable_shop.client().sign_up() for _ in range(PURCHASES_UNDER_FIRE)]
    bought: dict[str, Client] = {}

    def run(client: Client) -> None:
        bought[buy(client, show_id)] = client

    buyers = [threading.Thread(target=run, args=(client,)) for client in clients]
    for number, buyer in enumerate(buyers):
        buyer.start()
        if number == PURCHASES_UNDER_FIRE // 2:
            killable_shop.kill(part)
    for buyer in buyers:
        buyer.join()
    assert len(bought) == PURCHASES_UNDER_FIRE
    for booking_id, client in bought.items():
        assert client.confirmed(booking_id)["status"] == "confirmed"
    assert_books_are_whole(killable_shop)


def test_a_shop_that_hangs_is_ended_and_begun_again(
    killable_shop: RunningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS_MAX", 2.0)
    client = killable_shop.client().sign_up()
    booking_id = buy(client, client.a_show()["show_id"])
    assert isinstance(killable_shop.supervisor, EmbeddedShop)
    hung = killable_shop.supervisor.shop.pid
    os.kill(hung, signal.SIGSTOP)
    assert client.confirmed(booking_id)["status"] == "confirmed"
    assert killable_shop.supervisor.shop.pid != hung


@pytest.fixture(scope="module")
def command_line(filled: Path) -> Iterator[UpProcess]:
    """`cinesync up`, which tests leave running or not: a start takes as long as most of them."""
    folder = temporary_folder()
    copy_files(filled, folder)
    up = UpProcess(folder)
    yield up
    up.client.close()
    if up.is_running():
        up.end(signal.SIGTERM)
    shutil.rmtree(up.folder)


@pytest.fixture
def supervised(command_line: UpProcess) -> UpProcess:
    """It runs."""
    if not command_line.is_running():
        command_line.start()
    return command_line


@pytest.fixture
def stopped(command_line: UpProcess) -> UpProcess:
    """It has ended."""
    if command_line.is_running():
        assert command_line.end(signal.SIGTERM) == 0
    return command_line


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False
    )
    return [int(word) for word in listed.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_killing_the_supervisor_takes_its_children_and_loses_nothing(
    supervised: UpProcess,
) -> None:
    client = supervised.client.sign_up()
    booking_id = buy(client, client.a_show()["show_id"])
    children = children_of(supervised.process.pid)
    assert len(children) == 3 + VALIDATORS
    supervised.end(signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, children)), "no orphans")
    supervised.start()
    assert client.confirmed(booking_id)["status"] == "confirmed"


def test_a_second_shop_on_the_same_data_is_refused_in_one_line(supervised: UpProcess) -> None:
    second = subprocess.run(
        command("up", f"--port={free_port()}", f"--data={supervised.folder}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert supervised.url in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_port_that_is_taken_is_refused_in_one_line(supervised: UpProcess, tmp_path: Path) -> None:
    second = subprocess.run(
        command("up", f"--port={supervised.port}", f"--data={tmp_path}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "--port" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigterm_and_ctrl_c_stop_cleanly(supervised: UpProcess, number: int) -> None:
    children = children_of(supervised.process.pid)
    assert supervised.end(number) == 0
    assert not any(map(is_alive, children))


def test_the_audit_of_a_stopped_shop_starts_what_it_needs(stopped: UpProcess) -> None:
    audit = subprocess.run(
        command("audit", "--settled", f"--data={stopped.folder}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert "I2 bank statement: passed: sandbox agrees" in audit.stdout
