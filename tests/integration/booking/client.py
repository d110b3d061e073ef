"""A customer in client of booking's API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from cinesync.booking.context import BookingContext
from cinesync.contracts.movies import ShowScheduled
from tests.support.booking import BookingHarness


@dataclass
class BookingClient:
    """A customer in client of the API, and what goes on behind it."""

    http: httpx.AsyncClient
    context: BookingContext
    harness: BookingHarness
    customer_id: UUID

    @property
    def token(self) -> str:
        return self.http.headers["Authorization"].removeprefix("Bearer ")

    async def hold(self, show: ShowScheduled, *seats: str) -> dict[str, Any]:
        body = {"show_id": str(show.show_id), "seats": seats}
        answer = await self.http.post("/api/booking/holds", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def book(self, show: ShowScheduled, *seats: str) -> dict[str, Any]:
        hold = await self.hold(show, *seats)
        await self.harness.pay(await self.harness.find(UUID(hold["hold_id"])))
        return await self.get(f"/api/booking/bookings/{hold['hold_id']}")

    async def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = await self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def states(self, show: ShowScheduled) -> dict[str, str]:
        seat_map = await self.get(f"/api/booking/shows/{show.show_id}/seats")
        return {seat["seat"]: seat["state"] for seat in seat_map["seats"]}


OpenBookingClient = Callable[..., Awaitable[BookingClient]]
