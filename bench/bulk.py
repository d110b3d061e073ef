"""A chain's programme for years, half sold, written straight into the databases as services would.

The shop stands still meanwhile (`System.closed`): tables that are filled lose their indexes for
that time, and get the same ones back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4  # noqa: TID251 not part of the product

import asyncpg

from bench.stock import Auditorium, add_seats
from cinesync.chassis import clock

SECONDS_MAX = 3600
SEATS_EACH = 2  # of a booking
ZONE = "standard"
PRICE_CENTS = 1_000
PROGRAMME_DAYS = 14  # what the demo chain plans ahead: the next round starts where it ends
SERVICES = ("booking", "movies", "payment")
SOLD_FROM = clock.now() - timedelta(days=100)
SOLD_EVERY = timedelta(days=1)

Url = Callable[[str], str]  # of a service's database

# For the time of a connection.
SETTINGS = """
SET maintenance_work_mem = '1GB';
SET work_mem = '64MB'
"""


@dataclass(frozen=True, slots=True)
class Programme:
    """The demo chain's shows are its pattern, again and again, each round after the one before."""

    layout_id: UUID
    auditorium: Auditorium


async def begin(url: Url, auditorium: Auditorium) -> Programme:
    """Take the demo chain's shows out: nothing is on sale but what is added.

    Holds of earlier figures go as well, or they would run out and be swept meanwhile.
    """
    programme = Programme(uuid4(), auditorium)
    counts = []
    for service in _SHOWS:
        async with _connected(url, service) as connection:
            await connection.execute(_PATTERNS)
            counts.append(await connection.fetchval("SELECT count(*) FROM bench_patterns"))
            await connection.execute("DELETE FROM shows")
            if service == "booking":
                await connection.execute(_NO_HOLDS)
                await add_seats(connection, programme.layout_id, auditorium, ZONE)
    assert counts[0] == counts[1], "booking sells what movies plans"
    return programme


async def add_shows(url: Url, programme: Programme, first: int, count: int, sold: int) -> list[str]:
    """The ids of `count` more shows, of which `first` are there, each with `sold` seats booked."""
    show_ids = [uuid4() for _ in range(count)]
    async with _connected(url, "booking") as connection:
        values = (show_ids, first, PROGRAMME_DAYS)
        new = await connection.fetch(_SHOWS["booking"], *values, programme.layout_id)
    async with _connected(url, "movies") as connection:
        await connection.execute(_SHOWS["movies"], *values, programme.auditorium.seats, sold)
    await asyncio.gather(
        *(_sell(url, service, programme.auditorium, new, sold) for service in _SOLD)
    )
    return [str(show_id) for show_id in show_ids]


async def tidy(url: Url) -> None:
    """What autovacuum would have done in the time it takes to sell so much."""

    async def vacuum(service: str) -> None:
        async with _connected(url, service) as connection:
            await connection.execute("VACUUM ANALYZE", timeout=SECONDS_MAX)

    await asyncio.gather(*(vacuum(service) for service in SERVICES))


@asynccontextmanager
async def without_indexes(
    connection: asyncpg.Connection, tables: Sequence[str]
) -> AsyncIterator[None]:
    """In a transaction without indexes, keys and references of these tables; at its end they are
    as they were.

    Five million rows with random keys would take half an hour to find their places one by one.
    """
    async with connection.transaction():
        references = await connection.fetch(_REFERENCES, list(tables))
        keys = await connection.fetch(_KEYS, list(tables))
        indexes = await connection.fetch(_INDEXES, list(tables))
        for undo, _ in [*references, *keys, *indexes]:
            await connection.execute(undo)
        yield
        for _, again in [*indexes, *keys, *references]:
            await connection.execute(again, timeout=SECONDS_MAX)


async def _sell(
    url: Url, service: str, auditorium: Auditorium, shows: Sequence[asyncpg.Record], sold: int
) -> None:
    """Pair after pair of seats, each in all shows: the rows of a show lie as far apart as they can.

    A cinema that sells one show after the other would find them in adjacent pages.
    """
    statements = _SOLD[service]
    async with (
        _connected(url, service) as connection,
        without_indexes(connection, list(statements)),
    ):
        await connection.execute(_NEW_SHOWS)
        await connection.copy_records_to_table("new_shows", records=shows)
        for pair, seats in enumerate(pairs(auditorium, sold)):
            values = (pair, seats, SOLD_FROM + pair * SOLD_EVERY)
            for statement in statements.values():
                await connection.execute(statement, *values, timeout=SECONDS_MAX)


def pairs(auditorium: Auditorium, sold: int) -> list[list[str]]:
    """The first seats, row by row, two by two."""
    names = [
        f"R{at // auditorium.seats_in_row + 1}-{at % auditorium.seats_in_row + 1}"
        for at in range(sold)
    ]
    return [names[at : at + SEATS_EACH] for at in range(0, sold, SEATS_EACH)]


@asynccontextmanager
async def _connected(url: Url, service: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url(service))
    try:
        await connection.execute(SETTINGS)
        yield connection
    finally:
        await connection.close()


_PATTERNS = """
CREATE TABLE bench_patterns AS
SELECT shows.*, row_number() OVER (ORDER BY md5(show_id::text)) - 1 AS place FROM shows
"""

_NO_HOLDS = """
DELETE FROM booking_seats WHERE state = 'held';
DELETE FROM bookings WHERE state = 'held'
"""

# How each goes, and how it comes back. References stand on keys; keys have indexes of their own.
_CONSTRAINT = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS undo,
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
        pg_get_constraintdef(oid)) AS again
FROM pg_constraint
"""
_REFERENCES = f"{_CONSTRAINT} WHERE contype = 'f' AND confrelid = ANY($1::text[]::regclass[])"
_KEYS = f"{_CONSTRAINT} WHERE contype IN ('p', 'u') AND conrelid = ANY($1::text[]::regclass[])"
_INDEXES = """
SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS undo,
    pg_get_indexdef(i.indexrelid) AS again
FROM pg_index i WHERE i.indrelid = ANY($1::text[]::regclass[])
    AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid
        AND c.contype IN ('p', 'u'))
"""

# $1 are the new ids, $2 how many shows there are before, $3 the days of a round.
_PRICES = f"jsonb_build_object('{ZONE}', {PRICE_CENTS})"
_NEW = """
FROM (SELECT count(*) AS patterns FROM bench_patterns) c,
    unnest($1::uuid[]) WITH ORDINALITY n(show_id, number),
    LATERAL (SELECT $2::bigint + n.number - 1 AS at) x,
    LATERAL (SELECT (1 + x.at / c.patterns) * $3::bigint * interval '1 day' AS later) l,
    bench_patterns p
WHERE p.place = x.at % c.patterns
"""
_SHOWS = {
    "booking": f"""
INSERT INTO shows (region, show_id, movie_id, movie_title, theater_id, theater_name, city,
    time_zone, auditorium_name, starts_at, ends_at, format, language, currency, prices_cents,
    layout_id, revision, cancelled)
SELECT p.region, n.show_id, p.movie_id, p.movie_title, p.theater_id, p.theater_name, p.city,
    p.time_zone, p.auditorium_name, p.starts_at + l.later, p.ends_at + l.later,
    p.format, p.language, p.currency, {_PRICES}, $4::uuid, 0, false
{_NEW} RETURNING region, show_id, currency
""",
    "movies": f"""
INSERT INTO shows (region, show_id, movie_id, theater_id, auditorium_id, layout_id, starts_at,
    ends_at, free_at, local_date, format, language, subtitles, currency, prices_cents, seat_count,
    seats_taken, status, revision)
SELECT p.region, n.show_id, p.movie_id, p.theater_id, p.auditorium_id, p.layout_id,
    p.starts_at + l.later, p.ends_at + l.later, p.free_at + l.later,
    (p.local_date + l.later)::date, p.format, p.language, p.subtitles, p.currency, {_PRICES},
    $4::bigint, $5::bigint, 'scheduled', 0
{_NEW}
""",
}

_NEW_SHOWS = "CREATE TEMP TABLE new_shows (region text, show_id uuid, currency text)"

# $1 is the number of a pair of seats, $2 those seats, $3 when they were sold in all new shows. A
# purchase's id comes from its place, so that both databases agree; it serves as the booking's, the
# payment's and the customer's, which nobody compares.
_PURCHASES = """
(SELECT region, show_id, currency, md5(show_id || '-' || $1::bigint)::uuid AS id,
    $2::text[] AS seats, $3::timestamptz AS at FROM new_shows) p
"""
_TOTAL_CENTS = PRICE_CENTS * SEATS_EACH

_SOLD = {
    "booking": {
        "booking_seats": f"""
INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)
SELECT p.region, p.show_id, seat, p.id, 'booked', p.at FROM {_PURCHASES}, unnest(p.seats) seat
""",
        "bookings": f"""
INSERT INTO bookings (region, booking_id, customer_id, show_id, seats, total_cents, currency,
    state, created_at, expires_at, extensions, payment_id, late, confirmed_at, refund_cents,
    refunded_cents)
SELECT p.region, p.id, p.id, p.show_id, priced.seats, {_TOTAL_CENTS}, p.currency, 'confirmed',
    p.at, p.at, 0, p.id, false, p.at, 0, 0
FROM {_PURCHASES}, (SELECT jsonb_agg(jsonb_build_object(
    'seat', seat, 'zone', '{ZONE}', 'price_cents', {PRICE_CENTS})) AS seats
    FROM unnest($2::text[]) seat) priced
""",
        "booking_receipts": f"""
INSERT INTO booking_receipts (booking_id, event_id, height, log_index)
SELECT p.id, p.id, $1::bigint, $1::bigint FROM {_PURCHASES}
""",
    },
    # As wide as a real payment: its key, its fingerprint, its trace.
    "payment": {
        "payments": f"""
INSERT INTO payments (payment_id, customer_id, idempotency_key, fingerprint, hold_id,
    hold_expires_at, provider, amount_cents, currency, status, charge_id, trace, created_at,
    settled_at, next_check_at)
SELECT p.id, p.id, p.id::text, repeat('f', 64), p.id, p.at, 'sandbox', {_TOTAL_CENTS}, p.currency,
    'success', p.id::text, repeat('0', 55), p.at, p.at, p.at
FROM {_PURCHASES}
""",
        "captures": f"""
INSERT INTO captures (provider, charge_id, payment_id, amount_cents, currency, surplus,
    captured_at)
SELECT 'sandbox', p.id::text, p.id, {_TOTAL_CENTS}, p.currency, false, p.at FROM {_PURCHASES}
""",
    },
}
