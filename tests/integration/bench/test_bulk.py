"""Ten million seats written by SQL are what the services would have written one by one."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from bench import bulk
from bench.stock import Auditorium
from cinesync.booking import service
from cinesync.booking.model import HoldSeats, SeatSelection, Terms
from cinesync.booking.service import Held
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.messaging.event import decode
from cinesync.contracts.movies import ShowScheduled
from cinesync.movies.demo.seeding import seed_chain
from tests.conftest import MakeDatabase

pytestmark = pytest.mark.slow

ROOM = Auditorium(rows=3, seats_in_row=4)
SOLD = 6
SCHEMA = """
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' UNION ALL
SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
"""
TERMS = Terms(
    hold_seconds=600,
    extensions_max=0,
    held_seats_max=20,
    sales_close_minutes=0,
    cancel_minutes_before=0,
)


class Chain:
    """The databases of a demo chain that plans one day ahead."""

    def __init__(self, databases: dict[str, Database]) -> None:
        self.databases = databases

    def url(self, service: str) -> str:
        return self.databases[service].url

    async def query(self, service: str, statement: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url(service))
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def schema(self, service: str) -> list[str]:
        return sorted(str(row[0]) for row in await self.query(service, SCHEMA))


@pytest.fixture
async def chain(make_database: MakeDatabase) -> Chain:
    made = Chain({name: await make_database(name) for name in bulk.SERVICES})
    movies, booking = made.databases["movies"], made.databases["booking"]
    await seed_chain(movies, clock.now().date(), days=2)
    scheduled = await movies.read(_scheduled)
    await booking.run(show_changes.schedule_shows, scheduled)
    return made


async def _scheduled(tx: Transaction) -> list[ShowScheduled]:
    rows = await tx.execute(text("SELECT body FROM outbox WHERE name = 'show.scheduled'"))
    return [decode(ShowScheduled, row.body) for row in rows]


async def grow(chain: Chain, *counts: int) -> list[str]:
    """More shows with every count."""
    programme = await bulk.begin(chain.url, ROOM)
    shows: list[str] = []
    for count in counts:
        shows += await bulk.add_shows(chain.url, programme, len(shows), count, SOLD)
    await bulk.tidy(chain.url)
    return shows


async def test_what_booking_sells_is_what_movies_plans(chain: Chain) -> None:
    [patterns] = await chain.query("movies", "SELECT count(*) AS shows FROM shows")
    shows = await grow(chain, 5, patterns["shows"])  # into a second round of the programme
    facts = "SELECT show_id::text, theater_id, starts_at, ends_at, prices_cents FROM shows"
    planned = {tuple(row) for row in await chain.query("movies", facts)}
    assert {row[0] for row in planned} == set(shows)
    assert {tuple(row) for row in await chain.query("booking", facts)} == planned
    taken = await chain.query("movies", "SELECT DISTINCT seat_count, seats_taken FROM shows")
    assert [tuple(row) for row in taken] == [(ROOM.seats, SOLD)]


async def test_money_was_taken_for_every_seat_that_is_booked(chain: Chain) -> None:
    shows = await grow(chain, 3, 4)
    booked = await chain.query(
        "booking",
        "SELECT b.payment_id, b.currency, b.total_cents FROM bookings b WHERE b.state = 'confirmed'"
        " AND (SELECT count(*) FROM booking_seats s WHERE s.booking_id = b.booking_id"
        " AND s.show_id = b.show_id AND s.state = 'booked' AND b.seats @>"
        " jsonb_build_array(jsonb_build_object('seat', s.seat))) = jsonb_array_length(b.seats)",
    )
    captured = await chain.query(
        "payment",
        "SELECT payment_id, c.currency, c.amount_cents FROM captures c JOIN payments p"
        " USING (payment_id) WHERE p.status = 'success' AND p.amount_cents = c.amount_cents",
    )
    assert len(booked) == len(shows) * SOLD / bulk.SEATS_EACH
    assert {tuple(row) for row in booked} == {tuple(row) for row in captured}


async def test_the_rest_of_a_show_can_be_bought_and_no_more(chain: Chain) -> None:
    [show_id, *_] = await grow(chain, 2)
    seats: list[str] = []
    for _ in range(ROOM.seats - SOLD):
        seats += await _held(chain.databases["booking"], show_id)
    assert len(set(seats) - {seat for pair in bulk.pairs(ROOM, SOLD) for seat in pair}) == 6
    with pytest.raises(service.BatchRefused):
        await _held(chain.databases["booking"], show_id)


async def test_what_was_held_before_is_not_held_any_more(chain: Chain) -> None:
    [old] = await chain.query("booking", "SELECT show_id FROM shows LIMIT 1")
    assert await _held(chain.databases["booking"], str(old["show_id"]))
    await grow(chain, 1)
    for table in ("bookings", "booking_seats"):
        assert await chain.query("booking", f"SELECT 1 FROM {table} WHERE state = 'held'") == []


async def _held(booking: Database, show_id: str) -> Sequence[str]:
    command = HoldSeats(
        hold_id=clock.new_id(),
        customer_id=clock.new_id(),
        is_guest=True,
        show_id=UUID(show_id),
        email_key=clock.new_id(),
        selection=SeatSelection(best=1),
    )
    [result] = await booking.run(service.hold_seats, [command], ShowCache(), TERMS)
    assert isinstance(result, Held)
    return result.event.seats


async def test_every_index_and_key_comes_back(chain: Chain) -> None:
    before = {name: await chain.schema(name) for name in ("booking", "payment")}
    await grow(chain, 1, 2)
    assert {name: await chain.schema(name) for name in before} == before


async def test_tables_have_neither_while_they_are_filled(chain: Chain) -> None:
    tables = ["payments", "captures"]
    connection = await asyncpg.connect(chain.url("payment"))
    indexed = "SELECT count(*) FROM pg_index WHERE indrelid = ANY($1::text[]::regclass[])"
    async with bulk.without_indexes(connection, tables):
        assert await connection.fetchval(indexed, tables) == 0
    assert await connection.fetchval(indexed, tables) > len(tables)
    await connection.close()


async def test_a_load_that_fails_leaves_everything_as_it_was(chain: Chain) -> None:
    before = await chain.schema("payment")
    connection = await asyncpg.connect(chain.url("payment"))
    with pytest.raises(asyncpg.UndefinedTableError):
        async with bulk.without_indexes(connection, ["payments"]):
            await connection.execute("INSERT INTO nothing SELECT 1")
    await connection.close()
    assert await chain.schema("payment") == before
