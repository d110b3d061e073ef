"""More shows, and more sold seats, written straight into the databases as the services would."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4  # noqa: TID251 not part of the product

import asyncpg

from bench.system import System

SELL_SECONDS_MAX = 3600
PRICE_CENTS = 1_000
FIRST_START_DAYS = 30  # behind the demo chain's programme, and sold for as long as a bench runs


@dataclass(frozen=True, slots=True)
class Room:
    """Seats in plain rows, all of one zone; nobody needs a wheelchair place left over."""

    rows: int
    seats_in_row: int

    @property
    def seats(self) -> int:
        """In all."""
        return self.rows * self.seats_in_row


async def add_shows(system: System, count: int, room: Room) -> list[str]:
    """Shows like one of the demo chain's, in a new layout; their ids.

    The movies service is told as well: it counts the seats left.
    """
    booking = await asyncpg.connect(system.database("booking"))
    movies = await asyncpg.connect(system.database("movies"))
    try:
        layout_id, show_ids = uuid4(), [uuid4() for _ in range(count)]
        pattern = await booking.fetchval(
            "SELECT show_id FROM shows WHERE NOT cancelled ORDER BY starts_at DESC LIMIT 1"
        )
        zone = await _add_layout(booking, pattern, layout_id, room)
        await booking.execute(_COPY_SHOWS_OF_BOOKING, pattern, layout_id, show_ids, _DAYS)
        await movies.execute(_COPY_SHOWS_OF_MOVIES, pattern, show_ids, _DAYS, room.seats)
        assert zone, "a show without prices cannot be sold"
    finally:
        await booking.close()
        await movies.close()
    return [str(show_id) for show_id in show_ids]


async def _add_layout(
    booking: asyncpg.Connection, pattern: UUID, layout_id: UUID, room: Room
) -> str:
    zone = await booking.fetchval(
        "SELECT min(zone) FROM shows, jsonb_object_keys(prices_cents) zone WHERE show_id = $1",
        pattern,
    )
    await booking.execute("INSERT INTO layouts (layout_id) VALUES ($1)", layout_id)
    await booking.execute(
        "INSERT INTO seats (layout_id, seat, row_name, number, zone, kind, x, y, run)"
        " SELECT $1, 'R' || r || '-' || n, 'R' || r, n, $2, 'standard', n, r, 1"
        " FROM generate_series(1, $3::bigint) r, generate_series(1, $4::bigint) n",
        layout_id,
        zone,
        room.rows,
        room.seats_in_row,
    )
    return str(zone)


async def sell(system: System, show_ids: Sequence[str], room: Room, seats: int) -> None:
    """Book `seats` seats of each show in pairs, as long since sold: seats, bookings, payments."""
    for service, statements in (("booking", _SOLD_OF_BOOKING), ("payment", _SOLD_OF_PAYMENT)):
        connection = await asyncpg.connect(system.database(service))
        try:
            for statement in statements:
                values = (show_ids, seats, room.seats_in_row)
                await connection.execute(statement, *values, timeout=SELL_SECONDS_MAX)
        finally:
            await connection.close()


async def tidy(system: System) -> None:
    """What autovacuum would have done in the time it takes to sell so much."""
    for service in ("booking", "movies", "payment"):
        connection = await asyncpg.connect(system.database(service))
        await connection.execute("VACUUM ANALYZE", timeout=SELL_SECONDS_MAX)
        await connection.close()


_DAYS = FIRST_START_DAYS

_COPY_SHOWS_OF_BOOKING = """
INSERT INTO shows (region, show_id, movie_id, movie_title, theater_id, theater_name, city,
    time_zone, auditorium_name, starts_at, ends_at, format, language, currency, prices_cents,
    layout_id, revision, cancelled)
SELECT p.region, n.show_id, p.movie_id, p.movie_title, p.theater_id, p.theater_name, p.city,
    p.time_zone, p.auditorium_name,
    now() + $4::bigint * interval '1 day' + n.at * interval '1 second',
    now() + $4::bigint * interval '1 day' + n.at * interval '1 second' + interval '2 hours',
    p.format, p.language, p.currency, p.prices_cents, $2, p.revision, false
FROM shows p, unnest($3::uuid[]) WITH ORDINALITY n(show_id, at) WHERE p.show_id = $1
"""

_COPY_SHOWS_OF_MOVIES = """
INSERT INTO shows (region, show_id, movie_id, theater_id, auditorium_id, layout_id, starts_at,
    ends_at, free_at, local_date, format, language, subtitles, currency, prices_cents, seat_count,
    seats_taken, status, revision)
SELECT p.region, n.show_id, p.movie_id, p.theater_id, p.auditorium_id, p.layout_id,
    now() + $3::bigint * interval '1 day' + n.at * interval '1 second',
    now() + $3::bigint * interval '1 day' + n.at * interval '1 second' + interval '2 hours',
    now() + $3::bigint * interval '1 day' + n.at * interval '1 second' + interval '3 hours',
    p.local_date, p.format, p.language, p.subtitles, p.currency, p.prices_cents, $4::bigint,
    0, 'scheduled', p.revision
FROM shows p, unnest($2::uuid[]) WITH ORDINALITY n(show_id, at) WHERE p.show_id = $1
"""

# Pair k of a show has the seats 2k and 2k + 1, counted through the rows; its ids come from its
# place, so that both databases agree on them.
_PAIRS = """
SELECT show_id, pair, md5(show_id || 'b' || pair)::uuid AS booking_id,
    md5(show_id || 'p' || pair)::uuid AS payment_id,
    md5(show_id || 'c' || pair)::uuid AS customer_id,
    $3::bigint AS seats_in_row
FROM unnest($1::text[]) show_id, generate_series(0, $2::bigint / 2 - 1) pair
"""
_SEAT = "'R' || ({0} / seats_in_row + 1) || '-' || ({0} % seats_in_row + 1)"
_LEFT, _RIGHT = _SEAT.format("(pair * 2)"), _SEAT.format("(pair * 2 + 1)")
_LONG_AGO = "now() - interval '1 day'"

_SOLD_OF_BOOKING = (
    f"""
INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)
SELECT s.region, s.show_id, seat, p.booking_id, 'booked', {_LONG_AGO}
FROM ({_PAIRS}) p JOIN shows s ON s.show_id = p.show_id::uuid,
    unnest(ARRAY[{_LEFT}, {_RIGHT}]) seat
""",
    f"""
INSERT INTO bookings (region, booking_id, customer_id, show_id, seats, total_cents, currency,
    state, created_at, expires_at, extensions, payment_id, late, confirmed_at, refund_cents,
    refunded_cents)
SELECT s.region, p.booking_id, p.customer_id, s.show_id, jsonb_build_array(
        jsonb_build_object('seat', {_LEFT}, 'zone', z.zone, 'price_cents', {PRICE_CENTS}),
        jsonb_build_object('seat', {_RIGHT}, 'zone', z.zone, 'price_cents', {PRICE_CENTS})),
    {PRICE_CENTS * 2}, s.currency, 'confirmed', {_LONG_AGO}, {_LONG_AGO}, 0, p.payment_id, false,
    {_LONG_AGO}, 0, 0
FROM ({_PAIRS}) p JOIN shows s ON s.show_id = p.show_id::uuid
    CROSS JOIN LATERAL (SELECT min(zone) AS zone FROM jsonb_object_keys(s.prices_cents) zone) z
""",
)

_SOLD_OF_PAYMENT = (
    f"""
INSERT INTO payments (payment_id, customer_id, idempotency_key, fingerprint, hold_id,
    hold_expires_at, provider, amount_cents, currency, status, charge_id, settled_at,
    next_check_at)
SELECT payment_id, customer_id, payment_id::text, '', booking_id, {_LONG_AGO}, 'sandbox',
    {PRICE_CENTS * 2}, 'EUR', 'success', payment_id::text, {_LONG_AGO}, {_LONG_AGO}
FROM ({_PAIRS}) p
""",
    f"""
INSERT INTO captures (provider, charge_id, payment_id, amount_cents, currency, surplus,
    captured_at)
SELECT 'sandbox', payment_id::text, payment_id, {PRICE_CENTS * 2}, 'EUR', false, {_LONG_AGO}
FROM ({_PAIRS}) p
""",
)
