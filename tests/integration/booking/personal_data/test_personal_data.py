"""What booking keeps of a customer: shown to them, and forgotten with them."""

from typing import Any
from uuid import UUID

import httpx

from cinesync.booking.payments.store import insert_refused
from cinesync.booking.personal_data.service import anonymize_customers
from cinesync.booking.routes import routers
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.booking import BookingRefused
from tests.conftest import MakeClient
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.support.booking import BookingHarness, scheduled

BOOKINGS = "SELECT booking_id, customer_id, state, email_key, address_key FROM bookings"


def _erased(customer_id: UUID) -> CustomerErased:
    return CustomerErased(event_id=clock.new_id(), occurred_at=clock.now(), customer_id=customer_id)


def _own_data(client: BookingClient, make_client: MakeClient) -> httpx.AsyncClient:
    http = make_client("booking", routers(client.context))
    http.headers["Authorization"] = f"Bearer {client.token}"
    return http


async def _rows(harness: BookingHarness, statement: str) -> list[Any]:
    async def query(tx: Transaction) -> list[Any]:
        return list(await tx.execute(text(statement)))

    return await harness.db.read(query)


async def _unfinished(http: httpx.AsyncClient) -> list[str]:
    answer = await http.get("/api/booking/me/unfinished")
    assert answer.headers["cache-control"] == "no-store"
    return [item["kind"] for item in answer.json()["items"]]


async def test_customers_get_all_that_is_kept_of_them_and_nothing_of_others(
    open_client: OpenBookingClient, make_client: MakeClient, harness: BookingHarness
) -> None:
    client, other = await open_client(), await open_client()
    show = await harness.schedule(scheduled())
    mine = {(await client.hold(show, seat))["hold_id"] for seat in ("A1", "A2", "A3")}
    await other.hold(show, "B1", "B2")
    http = _own_data(client, make_client)
    found: list[Any] = []
    after: dict[str, str] = {}
    while True:
        answer = await http.get("/api/booking/me/data", params={"limit": "2", **after})
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            break
        after = {"after": answer.json()["next"]}
    assert {item["booking_id"] for item in found} == mine
    assert {item["seats"][0]["seat"] for item in found} == {"A1", "A2", "A3"}
    assert {item["movie_title"] for item in found} == {show.movie_title}
    spoiled = await http.get("/api/booking/me/data", params={"after": "nonsense"})
    assert spoiled.status_code == 422
    assert (await http.get("/api/booking/me/data", headers={"Authorization": ""})).is_error


async def test_scans_of_ones_tickets_are_shown_too(
    open_client: OpenBookingClient, make_client: MakeClient, harness: BookingHarness
) -> None:
    client, staff = await open_client(), await open_client("staff")
    show = await harness.schedule(scheduled(starts_in_minutes=60))
    ticket = (await client.book(show, "A1", "A2"))["ticket"]
    for _ in range(2):
        scans = [{"scan_id": str(clock.new_id()), "ticket": ticket, "gate": "Door 1"}]
        await staff.http.post("/api/booking/admissions", json={"scans": scans})
    items = (await _own_data(client, make_client).get("/api/booking/me/data")).json()["items"]
    assert [item["kind"] for item in items] == [
        "booking",
        "admission",
        "admission",
        "refused_scan",
    ]
    assert (items[3]["result"], items[3]["seats"]) == ("already_used", ["A1", "A2"])


async def test_what_is_under_way_is_named_until_it_is_over(
    client: BookingClient, make_client: MakeClient, harness: BookingHarness
) -> None:
    http = _own_data(client, make_client)
    show = await harness.schedule(scheduled())
    assert await _unfinished(http) == []
    hold = await client.hold(show, "A1", "A2")
    assert await _unfinished(http) == ["hold"]
    booking = await harness.find(UUID(hold["hold_id"]))
    await harness.pay(booking)
    assert await _unfinished(http) == ["booking"]
    await harness.cancel(await harness.find(booking.booking_id))
    assert await _unfinished(http) == ["refund"]
    await harness.execute("UPDATE bookings SET refunded_cents = refund_cents")
    assert await _unfinished(http) == []
    await client.book(show, "A1", "A2")
    await harness.execute(
        "UPDATE shows SET starts_at = now() - interval '4 hours',"
        " ends_at = now() - interval '2 hours'"
    )
    assert await _unfinished(http) == []


async def test_an_erased_customers_bookings_stay_and_are_nobodys(
    open_client: OpenBookingClient, make_client: MakeClient, harness: BookingHarness
) -> None:
    client, other = await open_client(), await open_client()
    show = await harness.schedule(scheduled())
    first, second = await client.book(show, "A1"), await client.book(show, "A2")
    await harness.cancel(await harness.find(UUID(second["booking_id"])))
    theirs = await other.book(show, "B1")
    await harness.db.run(anonymize_customers, [_erased(client.customer_id)])
    await harness.db.run(anonymize_customers, [_erased(client.customer_id)])
    rows = {row.booking_id: row for row in await _rows(harness, BOOKINGS)}
    gone = [rows[UUID(one["booking_id"])] for one in (first, second)]
    assert client.customer_id not in {row.customer_id for row in rows.values()}
    assert len({row.customer_id for row in gone}) == len(gone)
    assert [row.state for row in gone] == ["confirmed", "cancelled"]
    assert [(row.email_key, row.address_key) for row in gone] == [(None, None)] * 2
    assert rows[UUID(theirs["booking_id"])].customer_id == other.customer_id
    actors = {row.actor_id for row in await _rows(harness, "SELECT actor_id FROM booking_refunds")}
    assert client.customer_id not in actors
    assert (await _own_data(client, make_client).get("/api/booking/me/data")).json()["items"] == []


async def test_a_living_hold_and_refused_money_are_treated_each_in_its_way(
    client: BookingClient, harness: BookingHarness
) -> None:
    show = await harness.schedule(scheduled())
    hold = await client.hold(show, "A1", "A2")
    refusal = BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=clock.new_id(),
        hold_id=clock.new_id(),
        customer_id=client.customer_id,
        refund_cents=100,
        currency="EUR",
        reason="unknown_hold",
    )
    await harness.db.run(insert_refused, [refusal])
    await harness.db.run(anonymize_customers, [_erased(client.customer_id)])
    assert (await harness.find(UUID(hold["hold_id"]))).customer_id == client.customer_id
    [row] = await _rows(harness, "SELECT customer_id FROM refused_payments")
    assert row.customer_id != client.customer_id
