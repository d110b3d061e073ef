"""One address cannot hold all seats of a show with free guest accounts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cinesync.booking.context import BookingContext
from cinesync.booking.model import Terms
from cinesync.booking.routes import fast_paths, routers
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.chassis.http.security.signed_client_address import VISITOR_HEADER, AddressSigner
from cinesync.contracts.movies import ShowScheduled
from tests.conftest import MakeClient, Sign
from tests.integration.booking.conftest import harness, migrated  # noqa: F401 fixtures
from tests.support.booking import CLIENTS, BookingHarness, row, scheduled

ROWS = "ABCDEFGHIJK"  # 176 seats
GUESTS = 22
NO_LIMITS = Terms(address_seats_max=1_000, address_show_seats_max=1_000)


@pytest.fixture
async def show(harness: BookingHarness) -> ShowScheduled:  # noqa: F811
    seats = [seat for y, name in enumerate(ROWS) for seat in row(name, 16, y=float(y))]
    return await harness.schedule(scheduled(seats))


@pytest.fixture(params=["fast path", "route"])
async def http(
    request: pytest.FixtureRequest,
    harness: BookingHarness,  # noqa: F811
    make_client: MakeClient,
) -> AsyncIterator[httpx.AsyncClient]:
    """Booking's API, seen from one address."""
    context = BookingContext(
        harness.db, harness.terms, TicketSigner("a secret"), CLIENTS, subscribers_max=10
    )
    yield make_client(
        "booking", routers(context), fast_paths(context) if request.param == "fast path" else ()
    )
    await context.holds.close()


async def hoard(
    http: httpx.AsyncClient, show: ShowScheduled, sign: Sign, **headers: str
) -> tuple[int, set[int]]:
    """Guest after guest takes half a row; how many seats they have, and what else was said."""

    async def take(n: int) -> httpx.Response:
        mine = {"Authorization": f"Bearer {sign(clock.new_id(), 'guest')}"}
        claimed = {"X-Forwarded-For": f"203.0.113.{n}", **headers}
        seats = [f"{ROWS[n // 2]}{number}" for number in range(1 + n % 2 * 8, 9 + n % 2 * 8)]
        body = {"show_id": str(show.show_id), "seats": seats}
        return await http.post("/api/booking/holds", json=body, headers=mine | claimed)

    answers = await asyncio.gather(*(take(n) for n in range(GUESTS)))
    bodies: list[dict[str, Any]] = [answer.json() for answer in answers]
    refused = {answer.status_code for answer in answers} - {201}
    return sum(len(body.get("priced_seats", ())) for body in bodies), refused


async def test_one_address_holds_a_third_of_a_show_at_most(
    http: httpx.AsyncClient, show: ShowScheduled, sign: Sign
) -> None:
    assert await hoard(http, show, sign) == (56, {429})
    made_up = AddressSigner("a guess").sign("203.0.113.9")
    assert await hoard(http, show, sign, **{VISITOR_HEADER: made_up}) == (0, {409, 429})


async def test_visitors_behind_the_storefront_are_distinguished(
    http: httpx.AsyncClient, show: ShowScheduled, sign: Sign
) -> None:
    await hoard(http, show, sign)
    stated = AddressSigner("a secret").sign("203.0.113.9")
    held, _ = await hoard(http, show, sign, **{VISITOR_HEADER: stated})
    assert held == 56


class TestWithoutTheLimits:
    """The attack as it was."""

    @pytest.fixture
    def harness(self, harness: BookingHarness) -> BookingHarness:  # noqa: F811
        harness.terms = NO_LIMITS
        return harness

    async def test_one_address_holds_the_whole_show(
        self, http: httpx.AsyncClient, show: ShowScheduled, sign: Sign
    ) -> None:
        held, refused = await hoard(http, show, sign)
        assert held == 176
        assert refused == set()
