"""What payment keeps of a customer: shown to them, and forgotten with them."""

from typing import Any
from uuid import UUID

import httpx

from cinesync.chassis import clock
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.booking import BookingCancelled
from cinesync.payment.personal_data import service as personal_data_service
from cinesync.payment.personal_data.routes import personal_data_router
from cinesync.payment.refunds import service as refund_service
from tests.conftest import MakeClient
from tests.integration.payment.conftest import PaymentHarness

PAYMENTS = "SELECT payment_id, customer_id, idempotency_key, amount_cents, status FROM payments"


def _erased(customer_id: UUID) -> CustomerErased:
    return CustomerErased(event_id=clock.new_id(), occurred_at=clock.now(), customer_id=customer_id)


def _own_data(harness: PaymentHarness, make_client: MakeClient) -> httpx.AsyncClient:
    http = make_client("payment", [personal_data_router(harness.db)])
    http.headers.update(harness.signed())
    return http


async def _items(http: httpx.AsyncClient, path: str, **params: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/api/payment/me/{path}", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def _cancel(harness: PaymentHarness, payment: dict[str, Any]) -> None:
    event = BookingCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        booking_id=UUID(payment["hold_id"]),
        payment_id=UUID(payment["payment_id"]),
        customer_id=harness.customer_id,
        show_id=clock.new_id(),
        region="eu",
        seats=("F7", "F8"),
        refund_cents=payment["amount_cents"],
        currency="EUR",
        reason="customer",
    )
    await harness.db.run(refund_service.refund_bookings, [event])


async def test_customers_get_their_payments_with_what_became_of_them(
    harness: PaymentHarness, make_client: MakeClient
) -> None:
    paid = (await harness.pay()).json()
    declined = (await harness.pay("tok_decline")).json()
    await _cancel(harness, paid)
    http = _own_data(harness, make_client)
    items = await _items(http, "data")
    payments = {item["payment_id"] for item in items if item["kind"] == "payment"}
    assert payments == {paid["payment_id"], declined["payment_id"]}
    kinds = sorted(item["kind"] for item in items)
    assert kinds == ["capture", "payment", "payment", "refund"]
    first = await http.get("/api/payment/me/data", params={"limit": "1"})
    rest = await _items(http, "data", after=first.json()["next"])
    assert {item["payment_id"] for item in first.json()["items"] + rest} == payments
    assert (await http.get("/api/payment/me/data", params={"after": "x"})).status_code == 422
    harness.customer_id = clock.new_id()
    assert await _items(_own_data(harness, make_client), "data") == []


async def test_undecided_payments_and_refunds_are_listed_until_they_end(
    harness: PaymentHarness, make_client: MakeClient
) -> None:
    http = _own_data(harness, make_client)
    assert await _items(http, "unfinished") == []
    paid = (await harness.pay()).json()
    assert [one["kind"] for one in await _items(http, "unfinished")] == ["payment"]
    await harness.change("UPDATE payments SET settled_at = now() - interval '2 minutes'")
    assert await _items(http, "unfinished") == []
    await _cancel(harness, paid)
    assert [one["kind"] for one in await _items(http, "unfinished")] == ["refund"]
    await harness.refund_all()
    assert await _items(http, "unfinished") == []
    await harness.change(
        "INSERT INTO disputes (dispute_id, payment_id, provider, provider_dispute_id, charge_id,"
        " amount_cents, currency, status, reason, created_at, changed_at) VALUES"
        " (CAST(:dispute_id AS uuid), CAST(:payment_id AS uuid), 'stripe', 'dp_1', 'ch_1', 100,"
        " 'EUR', 'open', 'fraudulent', now(), now())",
        dispute_id=clock.new_id(),
        payment_id=paid["payment_id"],
    )
    assert [one["kind"] for one in await _items(http, "unfinished")] == ["dispute"]
    assert [one["kind"] for one in await _items(http, "data")].count("dispute") == 1


async def test_an_erased_customers_payments_stay_and_are_nobodys(
    harness: PaymentHarness, make_client: MakeClient
) -> None:
    first, second = (await harness.pay()).json(), (await harness.pay(key="my own name")).json()
    pending = (await harness.pay("tok_3ds")).json()
    customer_id = harness.customer_id
    harness.customer_id = clock.new_id()
    await harness.pay()
    await harness.db.run(personal_data_service.anonymize_payments, [_erased(customer_id)])
    await harness.db.run(personal_data_service.anonymize_payments, [_erased(customer_id)])
    rows = {str(row.payment_id): row for row in await harness.select(PAYMENTS)}
    gone = [rows[one["payment_id"]] for one in (first, second)]
    assert len({row.customer_id for row in gone} - {customer_id}) == len(gone)
    assert "my own name" not in {row.idempotency_key for row in rows.values()}
    assert [row.amount_cents for row in gone] == [first["amount_cents"], second["amount_cents"]]
    if rows[pending["payment_id"]].status == "pending":
        assert rows[pending["payment_id"]].customer_id == customer_id
    await harness.assert_money_is_conserved()
