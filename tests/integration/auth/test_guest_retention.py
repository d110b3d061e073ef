"""Guests who bought nothing are deleted after the retention period; all other customers stay."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from cinesync.auth.app import Settings, create
from cinesync.auth.retention import guest_retention
from cinesync.auth.retention.guest_retention import GuestRetention
from cinesync.booking.context import BookingContext
from cinesync.booking.model import Terms
from cinesync.booking.routes import routers
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.client import HttpClient, HttpResponse, NoResponse
from cinesync.chassis.settings import SettingsError, load
from tests.integration.auth.conftest import SECRET, Auth
from tests.integration.booking.conftest import harness, migrated  # noqa: F401 fixtures
from tests.support.booking import CLIENTS, BookingHarness, scheduled


class Booking:
    """An HTTP client that calls booking's API in this process."""

    def __init__(self, harness: BookingHarness, auth: Auth) -> None:  # noqa: F811
        context = BookingContext(
            harness.db, Terms(), TicketSigner("a secret"), CLIENTS, subscribers_max=1
        )
        app: Any = service_app("booking", routers(context), auth.verifier)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://booking.example"
        )
        self.checked_count = 0
        self.is_away = False

    async def call(
        self, method: str, path: str, *, body: Any, headers: Mapping[str, str]
    ) -> HttpResponse:
        if self.is_away:
            raise NoResponse("booking is down")
        self.checked_count += len(body["customer_ids"])
        sent = {"customer_ids": [str(one) for one in body["customer_ids"]]}
        answer = await self.http.request(method, path, json=sent, headers=dict(headers))
        return HttpResponse(answer.status_code, answer.content)


@pytest.fixture
def booking(harness: BookingHarness, auth: Auth) -> Booking:  # noqa: F811
    return Booking(harness, auth)


async def a_guest(auth: Auth, email: str = "ada@example.org") -> UUID:
    token = (await auth.post("guest", {"email": email})).json()["access_token"]
    return (await auth.verifier.verify(token)).customer_id


async def customers(auth: Auth) -> set[UUID]:
    return {row.customer_id for row in await auth.query("SELECT customer_id FROM customers_local")}


def retention(auth: Auth, booking: Booking, days: float) -> GuestRetention:
    return GuestRetention(
        auth.db, auth.signing_keys, cast("HttpClient", booking), timedelta(days=days)
    )


async def test_only_guests_who_bought_nothing_are_deleted(
    auth: Auth,
    booking: Booking,
    harness: BookingHarness,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guest_retention, "BATCH_MAX", 2)
    await auth.register("grace@example.org")
    [account] = await customers(auth)
    idle, holder, buyer, canceller = [await a_guest(auth) for _ in range(4)]
    show = await harness.schedule(scheduled())
    await harness.expire_holds(await harness.hold(show, "A1", "A2", customer_id=holder))
    await harness.pay(await harness.hold(show, "B1", "B2", customer_id=buyer))
    cancelled = await harness.hold(show, "C1", "C2", customer_id=canceller)
    await harness.pay(cancelled)
    await harness.cancel(cancelled)
    await retention(auth, booking, days=-1).delete_guests()
    assert await customers(auth) == {account, buyer, canceller}
    assert idle not in await customers(auth)


async def test_a_recent_guest_stays(auth: Auth, booking: Booking) -> None:
    guest = await a_guest(auth)
    await retention(auth, booking, days=1).delete_guests()
    assert await customers(auth) == {guest}
    assert booking.checked_count == 0


async def test_no_guest_is_deleted_while_booking_is_down_and_all_are_afterwards(
    auth: Auth, booking: Booking
) -> None:
    guest = await a_guest(auth)
    guests = retention(auth, booking, days=-1)
    booking.is_away = True
    await guests.delete_guests()
    assert await customers(auth) == {guest}
    booking.is_away = False
    await guests.delete_guests()
    assert await customers(auth) == set()


async def test_a_pass_continues_where_the_last_one_ended(
    auth: Auth,
    booking: Booking,
    harness: BookingHarness,  # noqa: F811
) -> None:
    show = await harness.schedule(scheduled())
    guests = retention(auth, booking, days=-1)
    for seat in "AB":
        buyer = await a_guest(auth)
        await harness.pay(await harness.hold(show, f"{seat}1", f"{seat}2", customer_id=buyer))
        await guests.delete_guests()
    assert booking.checked_count == 2
    assert len(await customers(auth)) == 2


async def test_customers_cannot_ask_who_bought_something(auth: Auth, booking: Booking) -> None:
    await auth.register("grace@example.org")
    token = (await auth.login("grace@example.org")).json()["access_token"]
    mine = {"Authorization": f"Bearer {token}"}
    body = {"customer_ids": [str(clock.new_id())]}
    answer = await booking.http.post(guest_retention.PATH, json=body, headers=mine)
    assert answer.status_code == 403
    assert (await booking.http.post(guest_retention.PATH, json=body)).status_code == 401


async def test_an_invalid_response_of_booking_deletes_nobody(auth: Auth) -> None:
    class Strange:
        async def call(self, *_: object, **__: object) -> HttpResponse:
            return HttpResponse(200, b"[]")

    guest = await a_guest(auth)
    await GuestRetention(
        auth.db, auth.signing_keys, cast("HttpClient", Strange()), timedelta(days=-1)
    ).delete_guests()
    assert await customers(auth) == {guest}


async def test_the_cleanup_deletes_guests_when_booking_is_configured(auth: Auth) -> None:
    environ = {"DATABASE_URL": auth.db.url}
    environ |= {"SECRET_KEY": SECRET, "BOOKING_URL": "http://127.0.0.1:9"}
    for changes, is_there in (
        ({}, True),
        ({"BOOKING_URL": ""}, False),
        ({"GUEST_RETENTION_DAYS": "0"}, False),
    ):
        service = create(load(Settings, environ | changes))
        cleanup = next(loop for loop in service.loops() if loop.name == "auth.upkeep")
        assert (cleanup.run.__self__._guests is not None) == is_there  # type: ignore[attr-defined]
        for close in service.close:
            await close()
        await service.database.close()


def test_the_retention_of_guests_is_longer_than_their_tokens() -> None:
    environ = {"DATABASE_URL": "postgresql://localhost/x", "SECRET_KEY": SECRET}
    with pytest.raises(SettingsError, match="GUEST_RETENTION_DAYS"):
        create(load(Settings, environ | {"GUEST_RETENTION_DAYS": "1", "GUEST_SECONDS": "86400"}))
