"""A hold reads little, however many others hold seats just now or have them already."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from cinesync.booking import seat_store
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction, migrations, text
from tests.support.booking import BookingHarness, scheduled

FEW, HOLDS = 500, 5_000
READ_MAX = HOLDS // 50
# PostgreSQL plans a statement for what it is asked, five times; then once for all.
UNTIL_PLANNED = 12
BATCH = 100
OTHERS = """
INSERT INTO bookings (region, booking_id, customer_id, show_id, seats, total_cents, currency, state,
    created_at, expires_at, extensions, late, refund_cents, refunded_cents, email_key, address_key)
SELECT region, gen_random_uuid(), gen_random_uuid(), show_id, seats, total_cents, currency, state,
    created_at, expires_at, 0, false, 0, 0, gen_random_uuid(), gen_random_uuid()
FROM (SELECT * FROM bookings LIMIT 1) AS b, generate_series(1, CAST(:holds AS bigint))
"""
OTHER_SEATS = """
INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)
SELECT b.region, gen_random_uuid(), b.seat, b.booking_id, b.state, b.held_until
FROM booking_seats AS b, generate_series(1, CAST(:shows AS bigint))
"""


async def held_and_read(tx: Transaction, key: UUID) -> tuple[int, int]:
    """Seats that are held under a key, and how many rows and keys of bookings were looked at, for
    a batch of them and others.
    """
    batch = {key, *(clock.new_id() for _ in range(BATCH))}
    before = await looks_at_bookings(tx)
    held = await held_limits_store.held_seats(tx, batch, batch, 300)
    return sum(row.live for row in held), await looks_at_bookings(tx) - before


async def kept_and_read(tx: Transaction, key: UUID) -> tuple[int, int]:
    """The same in sum."""
    batch = {key, *(clock.new_id() for _ in range(BATCH))}
    before = await looks_at_bookings(tx)
    kept = await held_limits_store.summed_seats(tx, batch, batch, 300)
    return sum(kept.values()), await looks_at_bookings(tx) - before


async def looks_at_bookings(tx: Transaction) -> int:
    """Rows and keys, by this connection so far."""
    statement = text(
        "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched("
        "c.oid)) FROM pg_class AS c WHERE c.oid = CAST('bookings' AS regclass) OR c.oid IN"
        " (SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = CAST('bookings' AS regclass))"
    )
    return int((await tx.execute(statement)).scalar_one())


@pytest.mark.parametrize("read", [held_and_read, kept_and_read])
async def test_a_rush_in_a_new_shop_does_not_make_holds_dearer(
    harness: BookingHarness, read: Callable[[Transaction, UUID], Awaitable[tuple[int, int]]]
) -> None:
    await harness.execute("TRUNCATE bookings")
    show = await harness.schedule(scheduled())
    first = await harness.hold(show, best=3)
    await harness.execute(OTHERS, holds=FEW)
    for _ in range(UNTIL_PLANNED):
        await harness.db.read(read, clock.new_id())
    await harness.execute(OTHERS, holds=HOLDS)
    held, looks = await harness.db.read(read, first.customer_id)
    assert held == len(first.seats)
    assert looks < READ_MAX


async def taken_and_fetched(tx: Transaction, show_id: UUID) -> tuple[set[str], int]:
    """The show's taken seats, and how many of their rows were fetched for that."""
    before = await fetched_seats(tx)
    [sale] = await seat_store.sales_of(tx, [show_id])
    return sale.taken, await fetched_seats(tx) - before


async def fetched_seats(tx: Transaction) -> int:
    """Rows of seats, by this connection so far."""
    statement = text(
        "SELECT pg_stat_get_xact_tuples_returned(i.indrelid)"
        " + pg_stat_get_xact_tuples_fetched(i.indrelid)"
        " + pg_stat_get_xact_tuples_fetched(i.indexrelid)"
        " FROM pg_index AS i WHERE i.indrelid = CAST('booking_seats' AS regclass)"
    )
    return int((await tx.execute(statement)).scalar_one())


async def test_what_is_taken_is_told_by_the_key_alone(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    holds = [await harness.hold(show, best=2) for _ in range(5)]
    await harness.execute(OTHER_SEATS, shows=HOLDS // 10)
    async with harness.db.connection() as connection:
        await connection.execute("VACUUM ANALYZE booking_seats")
    taken, fetched = await harness.db.read(taken_and_fetched, show.show_id)
    assert taken == {seat for hold in holds for seat in hold.seat_names}
    assert not fetched


async def test_a_key_without_what_is_taken_gets_it(harness: BookingHarness) -> None:
    [before] = await keys_of_seats(harness)
    await harness.execute(
        "ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey,"
        " ADD CONSTRAINT booking_seats_pkey PRIMARY KEY (region, show_id, seat)"
    )
    await harness.execute("UPDATE alembic_version SET version_num = '0002'")
    await migrations.upgrade(harness.db, "cinesync.booking.migrations", "tests")
    assert await keys_of_seats(harness) == [before]
    assert before.endswith("(region, show_id, seat) INCLUDE (state, held_until)")


async def keys_of_seats(harness: BookingHarness) -> list[str]:
    """Every index of the seats."""

    async def read(tx: Transaction) -> list[str]:
        statement = text("SELECT indexdef FROM pg_indexes WHERE tablename = 'booking_seats'")
        return [row.indexdef for row in await tx.execute(statement)]

    return await harness.db.read(read)
