"""Booking responds the same with fast paths and without."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest

from cinesync.booking.context import BookingContext
from cinesync.booking.model import Terms
from cinesync.booking.routes import fast_paths, routers
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from tests.conftest import MakeClient, Sign
from tests.support.booking import CLIENTS, BookingHarness, scheduled

NOBODYS = UUID(int=7)
OWN_TO_EACH = {"hold_id", "show_id", "customer_id", "expires_at", "server_time", "trace_id"}


def comparable(answer: httpx.Response) -> tuple[int, Any, Mapping[str, str]]:
    """Without what is never the same twice."""
    body: Any = answer.text
    if answer.content and "json" in answer.headers["content-type"]:
        body = {k: v for k, v in answer.json().items() if k not in OWN_TO_EACH}
    varying = {"content-length", "allow"}  # Litestar lists methods in no order
    headers = {k: v for k, v in answer.headers.items() if k not in varying}
    return answer.status_code, body, headers


@pytest.fixture
async def context(harness: BookingHarness) -> BookingContext:
    return BookingContext(
        harness.db, Terms(), TicketSigner("a secret"), CLIENTS, subscribers_max=10
    )


@pytest.mark.parametrize(
    "body",
    [
        {"seats": ["A1", "A2"]},
        {"best": 2, "zone": "standard"},
        {"seats": ["Z99"]},
        {"seats": []},
        {"best": 0},
        {"best": 2, "surprise": 1},
        {"show_id": str(NOBODYS), "best": 1},
        {"show_id": "next tuesday", "best": 1},
    ],
)
@pytest.mark.parametrize("bearer", ["customer", "guest", "nobody", "forged"])
async def test_a_hold(
    harness: BookingHarness,
    context: BookingContext,
    make_client: MakeClient,
    sign: Sign,
    body: Any,
    bearer: str,
) -> None:
    routes = routers(context)
    answers = []
    for short in (fast_paths(context), ()):
        show = await harness.schedule(scheduled())
        http = make_client("booking", routes, short)
        if bearer != "nobody":
            token = "x.y.z" if bearer == "forged" else sign(clock.new_id(), bearer)
            http.headers["Authorization"] = f"Bearer {token}"
        request = {"show_id": str(show.show_id), **body}
        answers.append(comparable(await http.post("/api/booking/holds", json=request)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("coding", ["gzip, deflate, br", "identity"])
@pytest.mark.parametrize("known", ["", '"7"', "current", "one of two"])
async def test_a_seat_map(
    harness: BookingHarness,
    context: BookingContext,
    make_client: MakeClient,
    method: str,
    coding: str,
    known: str,
) -> None:
    show = await harness.schedule(scheduled())
    path = f"/api/booking/shows/{show.show_id}/seats"
    short, plain = (make_client("booking", routers(context), s) for s in (fast_paths(context), ()))
    tag = (await plain.get(path)).headers["etag"]
    tags = {"current": tag, "one of two": f'"7", {tag}'}
    headers = {"If-None-Match": tags.get(known, known), "Accept-Encoding": coding}
    answers = [await http.request(method, path, headers=headers) for http in (short, plain)]
    assert comparable(answers[0]) == comparable(answers[1])


async def test_the_seat_map_of_no_show(
    harness: BookingHarness, context: BookingContext, make_client: MakeClient
) -> None:
    await harness.schedule(scheduled())
    path = f"/api/booking/shows/{clock.new_id()}/seats"
    clients = [make_client("booking", routers(context), s) for s in (fast_paths(context), ())]
    short, plain = [comparable(await http.get(path)) for http in clients]
    assert short == plain
    assert short[0] == 404
