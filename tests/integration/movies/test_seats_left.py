"""Shows have the seats that can be bought now, as booking counts them."""

from collections.abc import Mapping
from typing import Any, cast

import httpx
import msgspec
import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Database
from cinesync.chassis.http.client import HttpClient, HttpResponse, NoResponse
from cinesync.movies import seats_left
from cinesync.movies.routes import router
from cinesync.movies.seats_left import SeatsLeft
from tests.conftest import MakeClient


class Booking:
    """The HTTP client of booking, with counts to return; counts the requests."""

    def __init__(self) -> None:
        self.left = 7
        self.body: bytes | None = None
        self.status = 200
        self.is_away = False
        self.request_count = 0

    async def call(self, method: str, path: str, *, params: Mapping[str, str]) -> HttpResponse:
        assert (method, path) == ("GET", seats_left.PATH)
        self.request_count += 1
        if self.is_away:
            raise NoResponse("booking is down")
        items = [
            {"show_id": show_id, "seat_count": 99, "seats_left": self.left, "seats_held": 3}
            for show_id in params["show_ids"].split(",")
        ]
        body = self.body if self.body is not None else msgspec.json.encode({"items": items})
        return HttpResponse(self.status, body)

    async def close(self) -> None:
        """Has no connections."""


@pytest.fixture
def booking() -> Booking:
    return Booking()


@pytest.fixture
def client(chain: Database, make_client: MakeClient, booking: Booking) -> httpx.AsyncClient:
    return make_client("movies", [router(chain, SeatsLeft(cast("HttpClient", booking)))])


async def shows(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/api/movies/shows", params={"limit": 5})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_shows_have_bookings_counts(client: httpx.AsyncClient, booking: Booking) -> None:
    listed = await shows(client)
    assert [(one["seats_left"], one["seats_held"]) for one in listed] == [(7, 3)] * 5
    assert booking.request_count == 1
    one = (await client.get(f"/api/movies/shows/{listed[0]['show_id']}")).json()
    assert (one["seats_left"], one["seats_held"]) == (7, 3)


@pytest.mark.parametrize(
    "trouble", [{"is_away": True}, {"status": 503}, {"body": b"[]"}], ids=["away", "503", "strange"]
)
async def test_without_booking_shows_count_the_seats_not_sold(
    client: httpx.AsyncClient,
    booking: Booking,
    monkeypatch: pytest.MonkeyPatch,
    trouble: dict[str, Any],
) -> None:
    for name, value in trouble.items():
        setattr(booking, name, value)
    for _ in range(2):
        listed = await shows(client)
        assert all(one["seats_left"] == one["seat_count"] for one in listed)
    assert booking.request_count == 1  # no request during the pause
    monkeypatch.setattr(seats_left, "PAUSE_SECONDS", 0.0)
    booking.is_away, booking.status, booking.body = False, 200, None
    later = clock.monotonic_seconds() + 6
    monkeypatch.setattr(clock, "monotonic_seconds", lambda: later)
    assert (await shows(client))[0]["seats_left"] == 7


async def test_seats_left_need_no_booking_service() -> None:
    left = SeatsLeft()
    assert await left.add_to([]) == []
    await left.close()
