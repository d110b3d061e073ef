"""The split shop: bought in over TLS, killed part by part, renewed under load, started again."""

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import asyncpg
import httpx
import pytest

from cinesync.supervisor.environments import NEEDED_BY
from tests.support.eventually import wait_for
from tests.support.listening import assert_on_this_machine_only
from tests.support.needs import need
from tests.support.private_files import readable_by_others
from tests.support.rabbitmq_server import RabbitMqServer
from tests.support.shop import Client, command
from tests.system.split_shop import RunningSplitShop
from tests.system.test_crash import assert_books_are_whole, buy, children_of, is_alive
from tests.system.test_race import grow, rush, shrink

pytestmark = [pytest.mark.slow, pytest.mark.rabbitmq, pytest.mark.xdist_group("split")]

BUYERS = 2
SEATS = 20


@pytest.fixture(scope="module")
def split(broker: RabbitMqServer) -> Iterator[RunningSplitShop]:
    shop = RunningSplitShop(broker, {"booking": 2}, BANK_LATE_SECONDS="8").start()
    yield shop
    shop.stop()


def test_a_split_shop_listens_on_its_host_only(split: RunningSplitShop) -> None:
    stack = split.supervisor
    processes = [*stack.children, *stack.validators, stack.bank]
    assert_on_this_machine_only(processes, split.address.port)


class Crowd:
    """Customers who buy one seat after the other, each in a thread, until told to stop."""

    def __init__(self, purchase: Callable[[], None]) -> None:
        self._purchase = purchase
        self._stop = threading.Event()
        self.bought = 0
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(BUYERS)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._purchase()
                self.bought += 1
        except BaseException as error:  # noqa: BLE001 told by whoever started us
            self.errors.append(error)

    def go_on(self) -> None:
        """Returns when as many as there are buyers have bought again."""
        enough = self.bought + BUYERS
        wait_for(lambda: self.errors or self.bought >= enough, "they go on buying")


def test_a_whole_purchase_over_tls_and_http_2(split: RunningSplitShop) -> None:
    need("the Debian package curl", present=shutil.which("curl") is not None)

    def curl(path: str, body: object = None, **headers: str) -> Any:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        given |= {"Content-Type": "application/json"} if body is not None else {}
        options = [
            "--http2",
            "--cacert",
            str(split.supervisor.authority),
            "--silent",
            "--show-error",
        ]
        options += ["--write-out", "\n%{http_version} %{http_code}"]
        for name, text in given.items():
            options += ["--header", f"{name}: {text}"]
        options += ["--data", json.dumps(body)] if body is not None else []
        done = subprocess.run(
            ["curl", *options, split.url + path], capture_output=True, text=True, check=True
        )
        answer, _, told = done.stdout.rpartition("\n")
        assert told in {"2 200", "2 201"}, done.stdout
        return json.loads(answer)

    signed_in = curl("/api/auth/guest", {"email": f"{uuid4()}@example.org"})
    mine = {"Authorization": f"Bearer {signed_in['access_token']}"}
    show = curl("/api/movies/shows?limit=100")["items"][-1]
    hold_id = curl("/api/booking/holds", {"show_id": show["show_id"], "best": 2}, **mine)["hold_id"]
    payment = {"hold_id": hold_id, "provider": "sandbox", "token": "tok_approve"}
    curl("/api/payment/payments", payment, **mine, Idempotency_Key=str(uuid4()))
    wait_for(
        lambda: curl(f"/api/booking/bookings/{hold_id}", **mine)["status"] == "confirmed", "mine"
    )


def test_each_process_gets_only_its_own_secrets(split: RunningSplitShop) -> None:
    stack = split.supervisor
    secrets = {name for name in NEEDED_BY if stack.environ.get(name)}
    for service, pool in stack.replica_sets.items():
        for child in pool.replicas:
            raw = Path(f"/proc/{child.pid}/environ").read_bytes().decode().split("\0")
            told = {name for name in secrets if any(one.startswith(f"{name}=") for one in raw)}
            assert told == {name for name in secrets if service in NEEDED_BY[name]}, child.name


def test_no_file_of_a_split_shop_is_anybody_elses(split: RunningSplitShop) -> None:
    assert readable_by_others(split.data_folder.path) == []


def test_a_seat_held_through_one_replica_is_seen_on_the_stream_of_the_other(
    split: RunningSplitShop,
) -> None:
    one, two = (
        child.environ["PORT"] for child in split.supervisor.replica_sets["booking"].replicas
    )
    client = split.client().sign_in_as_guest()
    show_id = client.a_show(3)["show_id"]
    path = f"/api/booking/shows/{show_id}/live"
    with httpx.stream("GET", f"http://127.0.0.1:{two}{path}", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: snapshot"
        held = httpx.post(
            f"http://127.0.0.1:{one}/api/booking/holds",
            json={"show_id": show_id, "best": 1},
            headers={"Authorization": f"Bearer {client.token}"},
            timeout=60,
        ).json()
        news = (json.loads(line.removeprefix("data: ")) for line in lines if '"seats"' in line)
        assert any(change["seats"].get(held["seats"][0]) == "held" for change in news)


def test_a_rush_on_two_replicas_sells_each_seat_once(split: RunningSplitShop) -> None:
    show_id = split.client().a_show(4, 4 * SEATS)["show_id"]
    shrink(split, show_id, SEATS)
    outcome = rush([split.url], show_id, buyer_count=3 * SEATS, trust=split.trust())
    grow(split, show_id)
    assert not outcome.broken
    assert outcome.sold_twice == []
    assert len(outcome.seats) == SEATS
    assert outcome.refused == 2 * SEATS


def test_a_late_payment_gets_its_seats_or_is_refunded(split: RunningSplitShop) -> None:
    client, other = split.client().sign_up(), split.client().sign_up()
    show_id = client.a_show(5)["show_id"]
    # In this order: what could be had first can be had again, and leaves no single seat.
    unlucky, lucky = (client.hold_best(show_id, 1) for _ in range(2))
    payments = [client.pay(hold["hold_id"], "tok_late") for hold in (lucky, unlucky)]
    assert [payment.status_code for payment in payments] == [202, 202]
    run_out(split, [lucky["hold_id"], unlucky["hold_id"]])
    taken = other.hold(show_id, unlucky["seats"])
    assert taken.status_code == 201, taken.text
    assert client.confirmed(lucky["hold_id"])["seats"] == lucky["seats"]
    payment_id = payments[1].json()["payment_id"]
    wait_for(lambda: client.payment(payment_id)["status"] == "refunded", "money back")


def run_out(shop: RunningSplitShop, hold_ids: list[str]) -> None:
    """The clock of these holds is at its end."""

    async def run() -> None:
        connection = await asyncpg.connect(shop.supervisor.postgres.url("cinesync_booking"))
        for table, column in (("booking_seats", "held_until"), ("bookings", "expires_at")):
            await connection.execute(
                f"UPDATE {table} SET {column} = now() WHERE booking_id = ANY($1::uuid[])", hold_ids
            )
        await connection.close()

    asyncio.run(run())


def test_killing_every_kind_of_process_in_turn_loses_nothing(
    split: RunningSplitShop, broker: RabbitMqServer
) -> None:
    show_id = split.client().a_show(6)["show_id"]
    bought: dict[str, Client] = {}

    def purchase() -> None:
        client = split.client().sign_up()
        bought[buy(client, show_id)] = client

    kinds = ("booking-1", "payment-1", "auth-1", "movies-1", "ledger-1", "web-1", "gateway")
    with Crowd(purchase) as crowd:
        for name in (*kinds, "bank", "validator-0"):
            ended = split.child(name).pid
            split.kill(name)
            wait_for(partial(is_again, split, name, ended), f"{name} is started again")
            crowd.go_on()
        broker.kill()
        broker.start()
        crowd.go_on()
    for booking_id, client in bought.items():
        assert client.confirmed(booking_id)["status"] == "confirmed"
    assert_books_are_whole(split)


def is_again(shop: RunningSplitShop, name: str, before: int) -> bool:
    child = shop.child(name)
    return child.pid != before and not child.has_ended()


def test_a_restart_under_load_fails_no_request(split: RunningSplitShop) -> None:
    show_id = split.client().a_show(7)["show_id"]
    failed: list[str] = []

    def ask(http: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
        answer = http.request(method, path, **options)
        if answer.is_server_error:
            failed.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def hold_and_release() -> None:
        # A guest of its own each time: who gives many seats back waits before the next.
        email = {"email": f"{uuid4().hex}@example.org"}
        with httpx.Client(base_url=split.url, timeout=60, verify=split.trust()) as http:
            token = http.post("/api/auth/guest", json=email).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            for _ in range(5):
                ask(http, "GET", f"/api/booking/shows/{show_id}/seats")
                body = {"show_id": show_id, "best": 1}
                held = ask(http, "POST", "/api/booking/holds", json=body)
                assert held.status_code == 201, held.text
                ask(http, "DELETE", f"/api/booking/holds/{held.json()['hold_id']}")
                ask(http, "GET", "/")

    before = [child.pid for child in split.supervisor.replica_sets["booking"].replicas]
    with Crowd(hold_and_release) as crowd:
        for service in ("booking", "web"):
            done = split.cinesync("restart", service, "--data", str(split.data_folder.path))
            assert done.returncode == 0, done.stderr
            assert f"{service} is restarted" in done.stdout
        crowd.go_on()
    after = [child.pid for child in split.supervisor.replica_sets["booking"].replicas]
    assert not set(before) & set(after)
    assert failed == []


def test_what_cannot_be_restarted_is_refused_in_one_line(split: RunningSplitShop) -> None:
    done = split.cinesync("restart", "popcorn", "--data", str(split.data_folder.path))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_restart_whose_new_process_does_not_start_leaves_the_old_one_serving(
    split: RunningSplitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = split.supervisor.replica_sets["movies"]
    before = [child.pid for child in pool.replicas]
    monkeypatch.setattr(
        pool.spare, "environ", {**pool.spare.environ, "MOVIES_DATABASE_URL": "none://"}
    )
    done = split.cinesync("restart", "movies", "--data", str(split.data_folder.path))
    assert done.returncode == 2
    assert f"{pool.spare.name} did not start" in done.stderr
    assert [child.pid for child in pool.replicas] == before
    assert split.client().a_show()


def test_the_command_continues_an_existing_shop_and_stops_cleanly(split: RunningSplitShop) -> None:
    client = split.client().sign_up()
    booking_id = buy(client, client.a_show(8)["show_id"])
    split.halt()
    process = subprocess.Popen(
        command(
            "up", "--split", f"--port={split.address.port}", f"--data={split.data_folder.path}"
        ),
        env=dict(split.supervisor.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"ready: {split.url}\n"
    assert client.confirmed(booking_id)["status"] == "confirmed"
    children = children_of(process.pid)
    process.send_signal(signal.SIGTERM)
    with process:
        assert process.wait(60) == 0
    assert not any(map(is_alive, children))
