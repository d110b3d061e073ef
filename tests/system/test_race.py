"""I1 under a rush: many buyers, few seats, several processes; and the same without the guard."""

import asyncio
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import aiohttp
import asyncpg
import httpx
import pytest

from cinesync.supervisor.ports import free_port
from tests.support.eventually import wait_for
from tests.support.shop import RunningShop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.no_cover,  # what it visits runs in other processes
    pytest.mark.xdist_group("race"),
]

BUYERS = 300
SEATS = 100
TRIES_MAX = 60
LOOKS_MAX = 600
SERVER = "tests.system.rush_server"
PROCESSES = 3


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
def racing_shop(filled: Path, guards: str) -> Iterator[tuple[RunningShop, list[str]]]:
    """A shop of several API processes on the same databases, and their addresses."""
    settings = {"RUSH_GUARDS": guards, "RUSH_PROCESSES": str(PROCESSES)}
    shop = RunningShop(filled, module=SERVER, **settings).start()
    try:
        with more_processes(shop, PROCESSES - 1) as urls:
            yield shop, [shop.url, *urls]
    finally:
        shop.stop()


@contextmanager
def more_processes(shop: RunningShop, count: int) -> Iterator[list[str]]:
    """API processes beside the shop's own, on the same databases; their addresses."""
    ports = [free_port() for _ in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", SERVER, "serve", "all", f"--port={port}"],
            env={**shop.supervisor.environ, "INSTANCE": f"extra-{port}", "LOG_LEVEL": "ERROR"},
            stdout=subprocess.DEVNULL,
        )
        for port in ports
    ]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    try:
        for url in urls:
            wait_for(partial(_is_ready, url), f"{url} ready")
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


def shrink(shop: RunningShop, show_id: str, seats: int = SEATS) -> None:
    """Leave so many free seats in a show by booking the others away in the database."""

    async def run() -> None:
        connection = await asyncpg.connect(shop.supervisor.postgres.url("cinesync_booking"))
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


def grow(shop: RunningShop, show_id: str) -> None:
    """Free what `shrink` took: nobody's bookings would break the books."""

    async def run() -> None:
        connection = await asyncpg.connect(shop.supervisor.postgres.url("cinesync_booking"))
        await connection.execute(
            "DELETE FROM booking_seats s WHERE show_id = $1 AND NOT EXISTS"
            " (SELECT 1 FROM bookings b WHERE b.booking_id = s.booking_id)",
            show_id,
        )
        await connection.close()

    asyncio.run(run())


@dataclass(frozen=True)
class Buyer:
    """One customer at one door; all share one client, for 300 would cost more than the race."""

    http: aiohttp.ClientSession
    url: str
    outcome: Outcome

    async def buy(self, show_id: str, everybody: asyncio.Barrier) -> None:
        """The best seat there is, as soon as everybody is at the door."""
        email = {"email": f"{uuid4()}@example.org"}
        _, answer = await self._post("/api/auth/guest", email, {})
        mine = {"Authorization": f"Bearer {answer['access_token']}"}
        await everybody.wait()
        hold = await self._get_hold(show_id, mine)
        if hold is None:
            return
        status, paid = await self._post(
            "/api/payment/payments",
            {"hold_id": hold["hold_id"], "provider": "sandbox", "token": "tok_approve"},
            mine | {"Idempotency-Key": str(uuid4())},
        )
        if status >= 400:
            self.outcome.broken.append(f"not paid: {paid}")
        elif await self._is_confirmed(hold["hold_id"], mine):
            self.outcome.seats.extend(hold["seats"])
        else:
            self.outcome.broken.append(f"never confirmed: {hold}")

    async def _get_hold(self, show_id: str, mine: Mapping[str, str]) -> dict[str, Any] | None:
        for _ in range(TRIES_MAX):
            wish = {"show_id": show_id, "best": 1}
            status, answer = await self._post("/api/booking/holds", wish, mine)
            if status == 201:
                return answer
            if status == 409:
                self.outcome.refused += 1
                return None
            if status != 503:
                break
            await asyncio.sleep(0.1)
        self.outcome.broken.append(f"no hold: {answer}")
        return None

    async def _is_confirmed(self, hold_id: str, mine: Mapping[str, str]) -> bool:
        for _ in range(LOOKS_MAX):
            if self.outcome.sold_twice:
                return False  # the race is decided; some of these would never be
            booking = self.http.get(f"{self.url}/api/booking/bookings/{hold_id}", headers=mine)
            async with booking as answer:
                if answer.ok and (await answer.json())["status"] == "confirmed":
                    return True
            await asyncio.sleep(0.2)
        return False

    async def _post(
        self, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


def rush(
    urls: Sequence[str],
    show_id: str,
    buyer_count: int = BUYERS,
    trust: ssl.SSLContext | None = None,
) -> Outcome:
    """So many buyers at once, each with a connection of their own if they need one."""
    outcome = Outcome()

    async def run() -> None:
        everybody = asyncio.Barrier(buyer_count)
        doors = (urls[number % len(urls)] for number in range(buyer_count))
        connector = aiohttp.TCPConnector(limit=0, ssl=trust or True)
        timeout = aiohttp.ClientTimeout(120)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=jar
        ) as http:
            buyers = [Buyer(http, url, outcome) for url in doors]
            await asyncio.gather(*(buyer.buy(show_id, everybody) for buyer in buyers))

    asyncio.run(run())
    return outcome


def test_a_rush_over_several_processes_sells_every_seat_exactly_once(filled: Path) -> None:
    with racing_shop(filled, "on") as (shop, urls):
        show_id = shop.client().a_show(0, SEATS)["show_id"]
        shrink(shop, show_id)
        outcome = rush(urls, show_id)
    assert not outcome.broken
    assert outcome.sold_twice == []
    assert len(outcome.seats) == SEATS
    assert outcome.refused == BUYERS - SEATS


def test_without_the_guards_the_same_rush_sells_seats_twice(filled: Path) -> None:
    with racing_shop(filled, "off") as (shop, urls):
        show_id = shop.client().a_show(0, SEATS)["show_id"]
        shrink(shop, show_id)
        asyncio.run(drop_guard(shop))
        outcome = rush(urls, show_id)
    assert outcome.sold_twice != []


async def drop_guard(shop: RunningShop) -> None:
    connection = await asyncpg.connect(shop.supervisor.postgres.url("cinesync_booking"))
    await connection.execute("ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey")
    await connection.close()
