"""Ten million sold seats cost a purchase no more than a hundred."""

from uuid import UUID

import asyncpg

from cinesync.booking import store
from cinesync.chassis.db import Database, Transaction, text
from tests.booking.scenes import REGION, BoxOffice

SHOWS, SOLD_EACH = 200, 60
MANY = """
INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)
SELECT $1, md5(show::text)::uuid, 'S' || seat, gen_random_uuid(), 'booked', now()
FROM generate_series(1, $3::bigint) seat, generate_series(1, $2::bigint) show
"""


async def _sell(db: Database) -> list[UUID]:
    """Seats of every show, one after the other, as they are sold: a show's rows lie far apart."""
    url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    # VACUUM knows no row to be visible to all before its commit is on the disk.
    await connection.execute("SET synchronous_commit = on")
    await connection.execute(MANY, REGION, SHOWS, SOLD_EACH)
    await connection.execute("VACUUM ANALYZE booking_seats")
    rows = await connection.fetch("SELECT DISTINCT show_id FROM booking_seats")
    await connection.close()
    return [row["show_id"] for row in rows]


async def _rows_read(tx: Transaction, show_ids: list[UUID]) -> tuple[int, int]:
    """How many names there are, and how many rows were looked at to find them."""
    names = await store.taken_names(tx, [(REGION, show_id) for show_id in show_ids])
    statement = text(
        "SELECT pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid)"
        " + (SELECT sum(pg_stat_get_xact_tuples_fetched(i.indexrelid)) FROM pg_index AS i"
        " WHERE i.indrelid = c.oid) AS looks FROM pg_class AS c WHERE c.relname = 'booking_seats'"
    )
    looks = int((await tx.execute(statement)).one().looks)
    return sum(len(seats) for seats in names.values()), looks


async def test_taken_seats_are_read_from_their_key_alone(office: BoxOffice) -> None:
    show_ids = await _sell(office.db)
    assert await office.db.read(_rows_read, show_ids[:3]) == (3 * SOLD_EACH, 0)
