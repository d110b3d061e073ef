"""More shows, written straight into the databases as the services would."""

from dataclasses import dataclass
from uuid import UUID, uuid4  # noqa: TID251 not part of the product

import asyncpg

from bench.system import System

FIRST_START_DAYS = 30  # behind the demo chain's programme, and sold for as long as a bench runs


@dataclass(frozen=True, slots=True)
class Auditorium:
    """Seats in plain rows, all of one zone; nobody needs a wheelchair place left over."""

    rows: int
    seats_in_row: int

    @property
    def seats(self) -> int:
        """In all."""
        return self.rows * self.seats_in_row


async def add_shows(system: System, count: int, auditorium: Auditorium) -> list[str]:
    """Shows like one of the demo chain's, in a new layout; their ids.

    They are written to movies as well, which counts the seats left.
    """
    booking = await asyncpg.connect(system.database("booking"))
    movies = await asyncpg.connect(system.database("movies"))
    try:
        layout_id, show_ids = uuid4(), [uuid4() for _ in range(count)]
        pattern = await booking.fetchval(
            "SELECT show_id FROM shows WHERE NOT cancelled ORDER BY starts_at DESC LIMIT 1"
        )
        zone = await booking.fetchval(_ZONE, pattern)
        assert zone, "a show without prices cannot be sold"
        await add_seats(booking, layout_id, auditorium, zone)
        await booking.execute(_COPY_SHOWS_OF_BOOKING, pattern, layout_id, show_ids, _DAYS)
        await movies.execute(_COPY_SHOWS_OF_MOVIES, pattern, show_ids, _DAYS, auditorium.seats)
    finally:
        await booking.close()
        await movies.close()
    return [str(show_id) for show_id in show_ids]


async def add_seats(
    connection: asyncpg.Connection, layout_id: UUID, auditorium: Auditorium, zone: str
) -> None:
    """A new layout in booking's database."""
    await connection.execute("INSERT INTO layouts (layout_id) VALUES ($1)", layout_id)
    await connection.execute(
        "INSERT INTO seats (layout_id, seat, row_name, number, zone, kind, x, y, run)"
        " SELECT $1, 'R' || r || '-' || n, 'R' || r, n, $2, 'standard', n, r, 1"
        " FROM generate_series(1, $3::bigint) r, generate_series(1, $4::bigint) n",
        layout_id,
        zone,
        auditorium.rows,
        auditorium.seats_in_row,
    )


_DAYS = FIRST_START_DAYS

_ZONE = "SELECT min(zone) FROM shows, jsonb_object_keys(prices_cents) zone WHERE show_id = $1::uuid"

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
