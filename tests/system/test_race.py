"""I1 under a rush: many buyers, few seats, several processes; and the same without the guard."""

import asyncio
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import asyncpg
import httpx
import pytest

from cinesync.up import free_port
from tests.system.shop import Shop, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.no_cover,  # what it visits runs in other processes
    pytest.mark.xdist_group("race"),
]

BUYERS = 300
SEATS = 100
TRIES_MAX = 60
SERVER = "tests.system.rush_server"


@dataclass
class Outcome:
    """What the buyers came away with."""

    seats: list[str] = field(default_factory=list)
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def sold_twice(self) -> list[str]:
        return [seat for seat, count in Counter(self.seats).items() if count > 1]


@contextmanager
def racing_shop(guards: str) -> Iterator[tuple[Shop, list[str]]]:
    """A shop of three API processes on the same databases, and their addresses."""
    shop = Shop(module=SERVER, RUSH_GUARDS=guards).start()
    try:
        with more_processes(shop, 2) as urls:
            yield shop, [shop.url, *urls]
    finally:
        shop.stop()


@contextmanager
def more_processes(shop: Shop, count: int) -> Iterator[list[str]]:
    """API processes beside the shop's own, on the same databases; their addresses."""
    ports = [free_port() for _ in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", SERVER, "serve", "all", f"--port={port}"],
            env={**shop.stack.environ, "INSTANCE": f"extra-{port}", "LOG_LEVEL": "ERROR"},
            stdout=subprocess.DEVNULL,
        )
        for port in ports
    ]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    try:
        for url in urls:
            eventually(partial(_is_ready, url), f"{url} ready")
        yield urls
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def shrink(shop: Shop, show_id: str, seats: int = SEATS) -> None:
    """Leave so many free seats in a show by booking the others away in the database."""

    async def run() -> None:
        connection = await asyncpg.connect(shop.stack.postgres.url("cinesync_booking"))
        await connection.execute(
            "INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)"
            " SELECT s.region, s.show_id, t.seat, gen_random_uuid(), 'booked', now()"
            " FROM shows s JOIN seats t USING (layout_id) WHERE s.show_id = $1"
            " ORDER BY t.kind = 'standard', t.row_name DESC, t.number"
            " LIMIT (SELECT count(*) - $2::bigint FROM shows s JOIN seats t USING (layout_id)"
            " WHERE s.show_id = $1)",
            show_id,
            seats,
        )
        await connection.close()

    asyncio.run(run())


def grow(shop: Shop, show_id: str) -> None:
    """Free what `shrink` took: nobody's bookings would break the books."""

    async def run() -> None:
        connection = await asyncpg.connect(shop.stack.postgres.url("cinesync_booking"))
        await connection.execute(
            "DELETE FROM booking_seats s WHERE show_id = $1 AND NOT EXISTS"
            " (SELECT 1 FROM bookings b WHERE b.booking_id = s.booking_id)",
            show_id,
        )
        await connection.close()

    asyncio.run(run())


async def buy(
    url: str,
    show_id: str,
    outcome: Outcome,
    everybody: asyncio.Barrier,
    trust: ssl.SSLContext | None = None,
) -> None:
    """One buyer: the best seat there is, as soon as everybody is at the door."""
    async with httpx.AsyncClient(base_url=url, timeout=120, verify=trust or True) as http:
        answer = await http.post("/api/auth/guest", json={"email": f"{uuid4()}@example.org"})
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        await everybody.wait()
        hold = await _get_hold(http, show_id, outcome)
        if hold is None:
            outcome.refused += 1
            return
        paid = await http.post(
            "/api/payment/payments",
            json={"hold_id": hold["hold_id"], "provider": "sandbox", "token": "tok_approve"},
            headers={"Idempotency-Key": str(uuid4())},
        )
        if not paid.is_success:
            outcome.broken.append(paid.text)
            return
        for _ in range(600):
            booking = await http.get(f"/api/booking/bookings/{hold['hold_id']}")
            if booking.is_success and booking.json()["status"] == "confirmed":
                outcome.seats.extend(hold["seats"])
                return
            await asyncio.sleep(0.2)
        outcome.broken.append(f"never confirmed: {hold}")


async def _get_hold(
    http: httpx.AsyncClient, show_id: str, outcome: Outcome
) -> dict[str, Any] | None:
    wish: dict[str, Any] = {"best": 1}
    for _ in range(TRIES_MAX):
        answer = await http.post("/api/booking/holds", json={"show_id": show_id, **wish})
        if answer.status_code == 201:
            hold: dict[str, Any] = answer.json()
            return hold
        if answer.status_code == 409:
            return None
        if answer.status_code != 503:
            outcome.broken.append(answer.text)
            return None
        await asyncio.sleep(0.1)
    outcome.broken.append("no answer")
    return None


def rush(
    urls: Sequence[str],
    show_id: str,
    buyer_count: int = BUYERS,
    trust: ssl.SSLContext | None = None,
) -> Outcome:
    outcome = Outcome()

    async def run() -> None:
        everybody = asyncio.Barrier(buyer_count)
        doors = (urls[number % len(urls)] for number in range(buyer_count))
        await asyncio.gather(*(buy(url, show_id, outcome, everybody, trust) for url in doors))

    asyncio.run(run())
    return outcome


def test_a_rush_over_several_processes_sells_every_seat_exactly_once() -> None:
    with racing_shop("on") as (shop, urls):
        show_id = shop.client().a_show(0, SEATS)["show_id"]
        shrink(shop, show_id)
        outcome = rush(urls, show_id)
    assert not outcome.broken
    assert outcome.sold_twice == []
    assert len(outcome.seats) == SEATS
    assert outcome.refused == BUYERS - SEATS


def test_without_the_guards_the_same_rush_sells_seats_twice() -> None:
    with racing_shop("off") as (shop, urls):
        show_id = shop.client().a_show(0, SEATS)["show_id"]
        shrink(shop, show_id)
        asyncio.run(drop_guard(shop))
        outcome = rush(urls, show_id)
    assert outcome.sold_twice != []


async def drop_guard(shop: Shop) -> None:
    connection = await asyncpg.connect(shop.stack.postgres.url("cinesync_booking"))
    await connection.execute("ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey")
    await connection.close()
