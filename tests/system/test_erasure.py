"""A customer takes everything with them and is forgotten; the books and the ledger stay whole."""

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own names

import asyncpg
import pytest

from cinesync.bootstrap import environ_of
from cinesync.proofs import entries
from tests.support.eventually import wait_for
from tests.support.shop import Client, RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shop")]

PASSWORD = "nobody else knows this"


def _ask(shop: RunningShop, service: str, statement: str, *values: Any) -> list[Any]:
    """Beside the APIs, in a service's own database."""
    url = environ_of(service, shop.supervisor.environ)["DATABASE_URL"]

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    return asyncio.run(ask())


def _over(shop: RunningShop, booking_id: str, payment_id: str) -> None:
    """The show is over, and the payment an old one."""
    _ask(
        shop,
        "booking",
        "UPDATE shows SET starts_at = now() - interval '5 hours', ends_at = now() - interval"
        " '3 hours', revision = revision + 1 WHERE show_id ="
        " (SELECT show_id FROM bookings WHERE booking_id = $1::uuid)",
        booking_id,
    )
    _ask(
        shop,
        "payment",
        "UPDATE payments SET settled_at = settled_at - interval '1 hour'"
        " WHERE payment_id = $1::uuid",
        payment_id,
    )


def _bought(client: Client, number: int) -> tuple[str, str]:
    """A booking and its payment."""
    hold = client.hold_best(client.a_show(number)["show_id"], 2)
    payment_id = client.pay(hold["hold_id"]).json()["payment_id"]
    client.confirmed(hold["hold_id"])
    return hold["hold_id"], payment_id


def _entries(client: Client, booking_id: str) -> list[dict[str, Any]]:
    """Its payment and its confirmation are in the chain."""

    def both() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = client.get(f"/api/ledger/entries?booking_id={booking_id}")[
            "items"
        ]
        return found if len(found) == 2 else None

    items: list[dict[str, Any]] = wait_for(both, "two entries in the chain")
    return [item["entry"] for item in items]


def _own(client: Client, service: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get(f"/api/{service}/me/data")["items"]
    return items


def test_an_account_is_exported_and_erased_and_everything_still_adds_up(
    shop: RunningShop, tmp_path: Path
) -> None:
    email = f"{uuid4()}@example.org"
    client = shop.client()
    body = {"email": email, "password": PASSWORD, "name": "Grace Hopper"}
    customer_id = client.call("POST", "/api/auth/register", json=body).json()["customer_id"]
    client.sign_in(email, PASSWORD)
    booking_id, payment_id = _bought(client, 11)
    recorded = _entries(client, booking_id)
    receipts = {
        entry["event_id"]: client.call("GET", f"/api/ledger/receipts/{entry['event_id']}").content
        for entry in recorded
    }

    assert client.get("/api/auth/me/data")["account"]["email"] == email
    assert [one["booking_id"] for one in _own(client, "booking")] == [booking_id]
    assert {one["payment_id"] for one in _own(client, "payment")} == {payment_id}
    openings = {one["event_id"]: bytes.fromhex(one["salt"]) for one in _own(client, "ledger")}
    for entry in recorded:
        opened = entries.commitment(openings[entry["event_id"]], "customer_id", customer_id)
        assert opened == entry["commitments"]["customer_id"]

    refused = client.call("POST", "/api/auth/me/erase", json={"password": PASSWORD})
    assert refused.status_code == 409
    assert {one["kind"] for one in refused.json()["unfinished"]} >= {"booking"}
    _over(shop, booking_id, payment_id)
    erased = client.call("POST", "/api/auth/me/erase", json={"password": PASSWORD})
    assert erased.status_code == 204, erased.text

    login = {"email": email, "password": PASSWORD}
    assert shop.client().call("POST", "/api/auth/login", json=login).status_code == 401
    wait_for(
        lambda: client.call("GET", "/api/booking/bookings").status_code == 401,
        "booking refuses the token",
    )
    _until_forgotten(shop, customer_id)
    for service in ("auth", "booking", "payment", "ledger"):
        dump = _ask(shop, service, _OUTSIDE_THE_AUDIT_LOG[service], email)
        assert dump == []

    for event_id, data in receipts.items():
        file = tmp_path / f"{event_id}.json"
        file.write_bytes(data)
        genesis = str(shop.data_folder.path / "ledger" / "genesis.json")
        verified = shop.cinesync("verify", str(file), "--genesis", genesis)
        assert verified.returncode == 0, verified.stderr
        again = client.call(
            "GET", f"/api/ledger/receipts/{event_id}", headers={"Authorization": ""}
        )
        assert again.content == data
    audit = wait_for(lambda: _audited(shop), "the audit finds every promise kept")
    assert "BROKEN" not in audit


def test_a_guest_is_erased_by_a_mailed_link(shop: RunningShop) -> None:
    email = f"{uuid4()}@example.org"
    guest = shop.client()
    answer = guest.call("POST", "/api/auth/guest", json={"email": email})
    guest.token = answer.json()["access_token"]
    customer_id = guest.get("/api/auth/me")["customer_id"]
    booking_id, payment_id = _bought(guest, 12)
    _over(shop, booking_id, payment_id)
    asked = {"email": email, "purpose": "erase"}
    assert shop.client().call("POST", "/api/auth/links", json=asked).status_code == 202
    code = wait_for(lambda: _mailed_code(shop, customer_id), "the mail is written")
    erased = shop.client().call("POST", "/api/auth/links/erase", json={"code": code})
    assert erased.status_code == 204, erased.text
    _until_forgotten(shop, customer_id)
    wait_for(lambda: _mailed_code(shop, customer_id) is None, "the mail is deleted")


_OUTSIDE_THE_AUDIT_LOG = {
    "auth": "SELECT 1 FROM customers_local WHERE email = $1 OR name = 'Grace Hopper'",
    "booking": "SELECT 1 FROM bookings AS t WHERE t::text LIKE '%' || $1 || '%'",
    "payment": "SELECT 1 FROM payments AS t WHERE t::text LIKE '%' || $1 || '%'",
    "ledger": "SELECT 1 FROM submissions AS t WHERE t::text LIKE '%' || $1 || '%'",
}


def _until_forgotten(shop: RunningShop, customer_id: str) -> None:
    """In every service's rows, and the salts are gone."""
    tables = {"booking": "bookings", "payment": "payments", "ledger": "submissions"}

    def is_forgotten() -> bool:
        return not any(
            _ask(shop, service, f"SELECT 1 FROM {table} WHERE customer_id = $1::uuid", customer_id)
            for service, table in tables.items()
        )

    wait_for(is_forgotten, "every service has forgotten")


def _audited(shop: RunningShop) -> str | None:
    audit = shop.audit()
    return audit.stdout if audit.returncode == 0 else None


def _mailed_code(shop: RunningShop, customer_id: str) -> str | None:
    mails = list((shop.data_folder.path / "mail").glob(f"{customer_id}.*.eml"))
    if not mails:
        return None
    text = mails[0].read_text().replace("=\n", "").replace("=3D", "=")
    [code] = re.findall(r"/account/erase\?code=([\w-]+)", text)
    return str(code)
