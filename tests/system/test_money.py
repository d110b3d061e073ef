"""I2 and I5: late, double, out-of-order and lost payments each end in a booking or a refund."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import asyncpg
import httpx
import pytest

from tests.support.eventually import wait_for
from tests.support.shop import Client, RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("money")]


@pytest.fixture(scope="module")
def shop(filled: Path) -> Iterator[RunningShop]:
    shop = RunningShop(
        filled,
        HOLD_SECONDS="6",
        BANK_LATE_SECONDS="10",
        PROVIDER_TIMEOUT_SECONDS="2",
        PAYMENT_FIRST_CHECK_SECONDS="1",
        PAYMENT_ABSENT_AFTER_SECONDS="5",
        PAYMENT_ASK_BEFORE_SECONDS="1",
    ).start()
    yield shop
    audit = shop.cinesync("audit", "--settled", "--data", str(shop.data_folder.path))
    shop.stop()
    assert audit.returncode == 0, audit.stdout + audit.stderr


@pytest.fixture
def client(shop: RunningShop) -> Client:
    return shop.client().sign_up()


@pytest.fixture
def show_id(client: Client) -> str:
    found: str = client.a_show()["show_id"]
    return found


def refunded(client: Client, payment_id: str) -> None:
    wait_for(lambda: client.payment(payment_id)["status"] == "refunded", f"{payment_id} refunded")


@pytest.mark.parametrize(
    "card", ["tok_approve", "tok_timeout_then_success", "tok_success_twice", "tok_webhook_first"]
)
def test_a_payment_that_is_captured_ends_in_a_booking(
    client: Client, show_id: str, card: str
) -> None:
    hold = client.hold_best(show_id, 2)
    answer = client.pay(hold["hold_id"], card)
    assert answer.status_code in {201, 202}
    booking = client.confirmed(hold["hold_id"])
    assert len(booking["seats"]) == 2
    assert booking["refunded_cents"] == 0


@pytest.mark.parametrize("card", ["tok_decline", "tok_insufficient_funds"])
def test_a_declined_card_takes_nothing_and_the_hold_can_be_paid_with_another(
    client: Client, show_id: str, card: str
) -> None:
    hold = client.hold_best(show_id, 1)
    answer = client.pay(hold["hold_id"], card)
    assert answer.status_code == 201
    assert answer.json()["status"] == "failed"
    client.pay(hold["hold_id"])
    client.confirmed(hold["hold_id"])


def test_a_lost_request_is_found_out_and_fails_without_taking_money(
    client: Client, show_id: str
) -> None:
    hold = client.hold_best(show_id, 1)
    answer = client.pay(hold["hold_id"], "tok_down")
    assert answer.status_code in {201, 202}
    payment_id = answer.json()["payment_id"]
    wait_for(lambda: client.payment(payment_id)["status"] == "failed", "failed")


def test_the_same_key_pays_once(client: Client, show_id: str) -> None:
    hold = client.hold_best(show_id, 1)
    key = str(uuid4())
    first = client.pay(hold["hold_id"], key=key).json()
    again = client.pay(hold["hold_id"], key=key).json()
    assert first["payment_id"] == again["payment_id"]
    client.confirmed(hold["hold_id"])


def test_a_second_payment_of_one_hold_is_refunded(client: Client, show_id: str) -> None:
    hold = client.hold_best(show_id, 1)
    headers = {"Authorization": f"Bearer {client.token}"}
    body = {"hold_id": hold["hold_id"], "provider": "sandbox", "token": "tok_approve"}

    async def pay_twice(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
            return await asyncio.gather(
                *(
                    http.post(
                        "/api/payment/payments",
                        json=body,
                        headers={"Idempotency-Key": str(uuid4())},
                    )
                    for _ in range(2)
                )
            )

    answers = asyncio.run(pay_twice(str(client._http.base_url)))
    client.confirmed(hold["hold_id"])
    captured = [a.json()["payment_id"] for a in answers if a.is_success]

    def one_is_refunded() -> bool:
        statuses = sorted(client.payment(payment_id)["status"] for payment_id in captured)
        return statuses == (["refunded", "success"] if len(captured) == 2 else ["success"])

    wait_for(one_is_refunded, "one booking, one refund")


def test_late_money_gets_the_same_seats_when_they_are_free(client: Client, show_id: str) -> None:
    hold = client.hold_best(show_id, 2)
    assert client.pay(hold["hold_id"], "tok_late").status_code == 202
    booking = client.confirmed(hold["hold_id"])
    assert sorted(booking["seats"]) == sorted(hold["seats"])


def test_a_late_payment_is_refunded_when_the_seats_are_sold(
    shop: RunningShop, client: Client, show_id: str
) -> None:
    hold = client.hold_best(show_id, 1)
    late = client.pay(hold["hold_id"], "tok_late")
    assert late.status_code == 202
    other = shop.client().sign_up()

    def the_other_gets_them() -> bool:
        answer = other.hold(show_id, hold["seats"])
        return answer.status_code == 201 and bool(other.pay(answer.json()["hold_id"]))

    wait_for(the_other_gets_them, "the hold expired and freed its seats")
    refunded(client, late.json()["payment_id"])
    booking = client.booking(hold["hold_id"])
    assert booking is None or booking["status"] != "confirmed"


def test_a_cancelled_booking_is_refunded_and_its_seats_are_free_again(
    client: Client, show_id: str
) -> None:
    hold = client.hold_best(show_id, 2)
    payment_id = client.pay(hold["hold_id"]).json()["payment_id"]
    client.confirmed(hold["hold_id"])
    answer = client.call("POST", f"/api/booking/bookings/{hold['hold_id']}/cancel")
    assert answer.status_code in {200, 201}, answer.text
    refunded(client, payment_id)
    assert set(hold["seats"]) <= set(client.free_seats(show_id))


def hold_four(client: Client, number: int) -> dict[str, Any]:
    """Side by side, in the first show from there on that has so many."""
    for other in range(number, number + 20):
        body = {"show_id": client.a_show(other, seats_min=60)["show_id"], "best": 4}
        answer = client.call("POST", "/api/booking/holds", json=body)
        if answer.status_code == 201:
            hold: dict[str, Any] = answer.json()
            return hold
    raise AssertionError(answer.text)


def give_back(client: Client, booking_id: str, seat: str) -> list[str]:
    """That seat, or the one that may go instead; what went."""
    path = f"/api/booking/bookings/{booking_id}/cancel"
    answer = client.call("POST", path, json={"seats": [seat]})
    if answer.status_code == 422:
        going: list[str] = answer.json()["alternatives"][0]
        answer = client.call("POST", path, json={"seats": going})
    else:
        going = [seat]
    assert answer.is_success, answer.text
    assert answer.json()["status"] == "confirmed"
    return going


@pytest.mark.parametrize("rest_too", [False, True])
def test_seats_cancelled_one_by_one_are_refunded_one_by_one(
    client: Client, *, rest_too: bool
) -> None:
    hold = hold_four(client, 3)
    show_id = hold["show_id"]
    payment_id = client.pay(hold["hold_id"]).json()["payment_id"]
    client.confirmed(hold["hold_id"])
    prices = {one["seat"]: one["price_cents"] for one in hold["priced_seats"]}
    gone = give_back(client, hold["hold_id"], hold["seats"][0])
    left = [seat for seat in hold["seats"] if seat not in gone]
    gone += give_back(client, hold["hold_id"], left[-1])
    cents = sum(prices[seat] for seat in gone)
    wait_for(lambda: client.payment(payment_id)["refunded_cents"] == cents, "the parts are back")
    assert client.payment(payment_id)["status"] == "partially_refunded"
    assert set(gone) <= set(client.free_seats(show_id))
    if rest_too:
        answer = client.call("POST", f"/api/booking/bookings/{hold['hold_id']}/cancel")
        assert answer.json()["status"] == "cancelled"
        refunded(client, payment_id)


def test_a_cancelled_show_refunds_everybody(shop: RunningShop, client: Client) -> None:
    show_id = client.a_show(5)["show_id"]
    hold = client.hold_best(show_id, 1)
    payment_id = client.pay(hold["hold_id"]).json()["payment_id"]
    client.confirmed(hold["hold_id"])
    manager = shop.member("manager")
    answer = manager.call(
        "POST", f"/api/movies/shows/{show_id}/cancel", json={"reason": "projector broken"}
    )
    assert answer.is_success, answer.text
    refunded(client, payment_id)


def test_one_request_gives_a_whole_show_back_and_takes_it_off_the_programme(
    shop: RunningShop, client: Client
) -> None:
    show_id = client.a_show(6)["show_id"]
    payment_ids = []
    for _ in range(3):
        hold = client.hold_best(show_id, 1)
        payment_ids.append(client.pay(hold["hold_id"]).json()["payment_id"])
        client.confirmed(hold["hold_id"])
    path = f"/api/booking/shows/{show_id}/refunds"
    asked = {"refund_id": str(uuid4()), "reason": "projector broken", "limit": 1}
    manager = shop.member("manager")
    assert manager.call("POST", path, json=asked).json()["bookings_left"] == 2
    for payment_id in payment_ids:
        refunded(client, payment_id)
    assert manager.get(f"{path}/{asked['refund_id']}")["bookings_refunded"] == 3
    show = f"/api/movies/shows/{show_id}"
    wait_for(lambda: client.get(show)["status"] == "cancelled", "it is off the programme")


@pytest.mark.parametrize("how", ["show cancelled", "show given back", "customer"])
def test_a_cancellation_refunds_what_a_reduction_left(
    shop: RunningShop, client: Client, how: str
) -> None:
    hold = hold_four(client, 10)
    show_id = hold["show_id"]
    payment_id = client.pay(hold["hold_id"]).json()["payment_id"]
    client.confirmed(hold["hold_id"])
    give_back(client, hold["hold_id"], hold["seats"][0])
    manager = shop.member("manager")
    because = {"refund_id": str(uuid4()), "reason": "the sound failed"}
    path = f"/api/booking/bookings/{hold['hold_id']}"
    for _ in range(2):  # the answer was lost
        answer = manager.call("POST", f"{path}/refunds", json=because | {"amount_cents": 100})
        assert answer.is_success, answer.text
    if how == "show cancelled":
        to = f"/api/movies/shows/{show_id}/cancel"
        answer = manager.call("POST", to, json={"reason": "projector broken"})
    elif how == "show given back":
        to = f"/api/booking/shows/{show_id}/refunds"
        answer = manager.call("POST", to, json=because)
        assert answer.json()["bookings_left"] == 0
    else:
        answer = client.call("POST", f"{path}/cancel")
    assert answer.is_success, answer.text
    refunded(client, payment_id)
    booking = client.booking(hold["hold_id"])
    assert booking is not None
    wait_for(lambda: client.get(path)["refunded_cents"] == booking["total_cents"], "all is back")


def test_a_free_show_is_booked_without_a_provider(shop: RunningShop, client: Client) -> None:
    show_id = client.a_show(15)["show_id"]
    seats = f"/api/booking/shows/{show_id}/seats"
    prices = {zone["zone"]: 0 for zone in client.get(seats)["zones"]}
    manager = shop.member("manager")
    path = f"/api/movies/shows/{show_id}"
    assert manager.call("PATCH", path, json={"prices_cents": prices}).is_success
    wait_for(
        lambda: not any(zone["price_cents"] for zone in client.get(seats)["zones"]),
        "booking knows the prices",
    )
    hold = client.hold_best(show_id, 2)
    assert hold["total_cents"] == 0
    answer = client.call(
        "POST",
        "/api/payment/payments",
        json={"hold_id": hold["hold_id"]},
        headers={"Idempotency-Key": str(uuid4())},
    )
    payment = answer.json()
    assert (answer.status_code, payment["status"], payment["provider"]) == (201, "success", "free")
    assert client.confirmed(hold["hold_id"])["ticket"]
    entries = f"/api/ledger/entries?booking_id={hold['hold_id']}"
    wait_for(lambda: len(client.get(entries)["items"]) == 2, "the ledger has both")
    cancelled = client.call("POST", f"/api/booking/bookings/{hold['hold_id']}/cancel")
    assert cancelled.is_success, cancelled.text
    wait_for(lambda: len(client.get(entries)["items"]) == 3, "and the cancellation")
    assert client.payment(payment["payment_id"])["status"] == "success", "nothing to give back"


def test_the_audit_names_a_broken_promise_and_exits_non_zero(
    shop: RunningShop, client: Client
) -> None:
    hold = client.hold_best(client.a_show(7)["show_id"], 1)
    client.pay(hold["hold_id"])
    client.confirmed(hold["hold_id"])

    async def change(statement: str) -> None:
        connection = await asyncpg.connect(shop.supervisor.postgres.url("cinesync_booking"))
        await connection.execute(statement, hold["hold_id"])
        await connection.close()

    asyncio.run(change("UPDATE bookings SET total_cents = total_cents + 100 WHERE booking_id = $1"))
    audit = shop.audit()
    asyncio.run(change("UPDATE bookings SET total_cents = total_cents - 100 WHERE booking_id = $1"))
    assert audit.returncode == 1
    assert "I2 BROKEN" in audit.stdout
    assert hold["hold_id"] in audit.stdout
    assert shop.audit().returncode == 0


def test_a_purchase_leaves_one_trace_through_all_logs(shop: RunningShop, client: Client) -> None:
    hold = client.hold_best(client.a_show(8)["show_id"], 1)
    answer = client.pay(hold["hold_id"])
    trace_id = answer.headers["x-trace-id"]
    client.confirmed(hold["hold_id"])
    log = shop.data_folder.logs / "shop.log"

    def followed() -> bool:
        lines = [line for line in log.read_text().splitlines() if trace_id in line]
        return all(
            any(word in line for line in lines)
            for word in ("/api/payment/payments", "booking.payment.success", "movies.booking.conf")
        )

    wait_for(followed, "HTTP and events share the trace")
