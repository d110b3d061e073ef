"""Customers read all data about them, and erase it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Router

from cinesync.auth.personal_data.erasure import Erasure
from cinesync.chassis import clock
from cinesync.chassis.http.client import HttpResponse, NoResponse
from tests.integration.auth.conftest import PASSWORD, Auth, OpenAuth
from tests.integration.auth.test_links import _mailed

ADA = "ada@example.org"


@dataclass
class OtherServices:
    """The responses of booking and payment, and the requests that they got."""

    items: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    away: bool = False
    requests: list[tuple[str, str]] = field(default_factory=list)

    async def call(self, _method: str, path: str, *, headers: Mapping[str, str]) -> HttpResponse:
        if self.away:
            raise NoResponse("the service is down")
        self.requests.append((path, headers["authorization"].removeprefix("Bearer ")))
        return HttpResponse(self.status, json.dumps({"items": self.items}).encode())

    async def close(self) -> None:
        """Has no connections."""


def _stub_other_services(auth: Auth) -> OtherServices:
    """Replace the HTTP client of the other services."""
    router = auth.service.routes[1]
    assert isinstance(router, Router)
    erasure = router.dependencies["erasure"].dependency()  # type: ignore[union-attr]
    assert isinstance(erasure, Erasure)
    other_services = OtherServices()
    erasure._other_services = other_services  # type: ignore[assignment]
    return other_services


async def _token(auth: Auth, email: str = ADA) -> str:
    await auth.register(email, phone="+44 20 7946 0000")
    token: str = (await auth.login(email)).json()["access_token"]
    return token


async def _erase(auth: Auth, token: str, password: str = PASSWORD) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await auth.post("me/erase", {"password": password}, headers=headers)


async def _everything(auth: Auth) -> str:
    """All rows of all tables, as text."""
    tables = await auth.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    rows = [
        row.line
        for table in tables
        for row in await auth.query(f"SELECT CAST(t AS text) AS line FROM {table.table_name} AS t")
    ]
    return "\n".join(rows)


async def test_customers_read_all_data_about_them(auth: Auth) -> None:
    token = await _token(auth)
    await auth.login(ADA, "a wrong guess")
    headers = {"Authorization": f"Bearer {token}"}
    answer = await auth.browser.get("/api/auth/me/data", headers=headers)
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["account"]["email"], found["account"]["phone"]) == (ADA, "+442079460000")
    assert [one["address"] for one in found["sessions"]] == ["192.0.2.7"]
    assert [one["address"][:6] for one in found["failed_sign_ins"]] == ["device"]
    assert {one["action"] for one in found["audit_log"]} >= {"session.signed_in"}
    assert "argon2" not in answer.text
    assert (await auth.browser.get("/api/auth/me/data")).status_code == 401


async def test_an_erased_account_leaves_no_personal_data_and_no_access(
    open_auth: OpenAuth, tmp_path: Path
) -> None:
    auth = await open_auth(MAIL_SPOOL=str(tmp_path), SHOP_URL="http://kino.example")
    other_services, token = _stub_other_services(auth), await _token(auth)
    await auth.register("bea@example.org", name="Bea")
    await auth.login("bea@example.org")
    await auth.login(ADA)
    await auth.login(ADA, "a wrong guess")
    await auth.post("links", {"email": ADA})
    assert (await _erase(auth, token)).status_code == 204
    assert [path for path, _ in other_services.requests] == [
        "/api/booking/me/unfinished",
        "/api/payment/me/unfinished",
    ]
    left = await _everything(auth)
    for trace in (ADA, "Ada Byron", "442079460000"):
        assert trace not in left
    assert auth.authenticator._secret_box.account_key(ADA) not in left
    assert (await auth.me(token)).status_code == 401
    assert (await auth.post("refresh")).status_code == 401
    assert (await auth.login(ADA)).status_code == 401
    assert await auth.count("sessions") == 1  # Bea's
    events = [row.name for row in await auth.query("SELECT name FROM outbox")]
    assert events.count("customer.erased") == 1
    assert (await auth.register(ADA)).status_code == 201, "the e-mail is free again"


async def test_erasing_an_account_needs_its_password(auth: Auth) -> None:
    _stub_other_services(auth)
    token = await _token(auth)
    assert (await _erase(auth, token, "a wrong guess")).status_code == 401
    assert (await auth.post("me/erase", {"password": PASSWORD})).status_code == 401
    assert (await auth.me(token)).status_code == 200
    assert await auth.count("sign_in_failures") == 1


async def test_a_customer_with_unfinished_matters_is_not_erased(auth: Auth) -> None:
    other_services, token = _stub_other_services(auth), await _token(auth)
    other_services.items = [{"kind": "booking", "booking_id": str(clock.new_id())}]
    answer = await _erase(auth, token)
    assert answer.status_code == 409
    assert answer.json()["unfinished"] == other_services.items * 2
    assert (await auth.login(ADA)).status_code == 200
    other_services.items = []
    assert (await _erase(auth, token)).status_code == 204


@pytest.mark.parametrize("trouble", [{"away": True}, {"status": 503}, {"status": 401}])
async def test_nobody_is_erased_while_another_service_is_down(
    auth: Auth, trouble: dict[str, Any]
) -> None:
    other_services, token = _stub_other_services(auth), await _token(auth)
    for name, value in trouble.items():
        setattr(other_services, name, value)
    answer = await _erase(auth, token)
    assert answer.status_code == 503
    assert "nothing was erased" in answer.json()["title"]
    assert (await auth.login(ADA)).status_code == 200


async def test_a_mailed_link_erases_the_account_and_its_guests(
    open_auth: OpenAuth, tmp_path: Path
) -> None:
    auth = await open_auth(MAIL_SPOOL=str(tmp_path), SHOP_URL="https://kino.example")
    other_services = _stub_other_services(auth)
    for email in (ADA, "ADA@example.org", "bea@example.org"):
        await auth.post("guest", {"email": email})
    await _token(auth)
    await auth.post("links", {"email": ADA, "purpose": "erase"})
    [code] = await _mailed(auth, tmp_path, page="/account/erase")
    other_services.items = [{"kind": "hold"}]
    assert (await auth.post("links/erase", {"code": code})).status_code == 409
    other_services.items = []
    other_services.requests.clear()
    assert (await auth.post("links/erase", {"code": code})).status_code == 204
    roles = {(await auth.verifier.verify(token)).role for _, token in other_services.requests}
    assert (len(other_services.requests), roles) == (6, {"customer", "guest"})
    assert (await auth.post("links/erase", {"code": code})).status_code == 401
    left = await auth.query("SELECT email FROM customers_local WHERE erased_at IS NULL")
    assert [row.email for row in left] == ["bea@example.org"]
    events = [row.name for row in await auth.query("SELECT name FROM outbox")]
    assert events.count("customer.erased") == 3


async def test_unsent_mails_of_an_erased_customer_are_deleted(
    open_auth: OpenAuth, tmp_path: Path
) -> None:
    auth = await open_auth(MAIL_SPOOL=str(tmp_path), SHOP_URL="https://kino.example")
    _stub_other_services(auth)
    token = await _token(auth)
    await auth.post("links", {"email": ADA})
    assert len(await _mailed(auth, tmp_path, keep=True)) == 1
    assert (await _erase(auth, token)).status_code == 204
    assert await _mailed(auth, tmp_path) == []


async def test_guests_erase_by_a_link_and_staff_not_at_all(auth: Auth) -> None:
    _stub_other_services(auth)
    guest = (await auth.post("guest", {"email": ADA})).json()["access_token"]
    assert (await _erase(auth, guest)).status_code == 403
    await _token(auth)
    await auth.query("UPDATE customers_local SET role = 'manager' WHERE role = 'customer'")
    manager = (await auth.login(ADA)).json()["access_token"]
    answer = await _erase(auth, manager)
    assert (answer.status_code, "cinesync staff" in answer.json()["detail"]) == (403, True)


async def test_an_erasure_is_in_the_audit_log_without_a_name(auth: Auth) -> None:
    _stub_other_services(auth)
    await _erase(auth, await _token(auth))
    [row] = await auth.query(
        "SELECT CAST(t AS text) AS line FROM audit_log AS t WHERE action = 'account.erased'"
    )
    assert ADA not in row.line
