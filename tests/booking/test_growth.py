"""A hold reads its own rows, however many others hold seats just now."""

from uuid import UUID

from cinesync.booking import store
from cinesync.chassis import clock
from cinesync.chassis.db import Transaction, text
from tests.booking.scenes import BoxOffice, scheduled

FEW, HOLDS = 500, 5_000
READ_MAX = HOLDS // 50
# PostgreSQL plans a statement for what it is asked, five times; then once for all.
UNTIL_PLANNED = 12
BATCH = 100
OTHERS = """
INSERT INTO bookings (region, booking_id, customer_id, show_id, seats, total_cents, currency, state,
    created_at, expires_at, extensions, late, refund_cents, refunded_cents)
SELECT region, gen_random_uuid(), gen_random_uuid(), show_id, seats, total_cents, currency, state,
    created_at, expires_at, 0, false, 0, 0
FROM (SELECT * FROM bookings LIMIT 1) AS b, generate_series(1, CAST(:holds AS bigint))
"""


async def held_and_read(tx: Transaction, customer_id: UUID) -> tuple[int, int]:
    """Seats that the customer holds, and how many rows and keys of bookings were looked at, for a
    batch of them and others.
    """
    batch = [customer_id, *(clock.new_id() for _ in range(BATCH))]
    before = await looked_at(tx)
    held = await store.held_counts(tx, batch, batch)
    return held.get(customer_id, 0), await looked_at(tx) - before


async def looked_at(tx: Transaction) -> int:
    """Rows and keys, by this connection so far."""
    statement = text(
        "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched("
        "c.oid)) FROM pg_class AS c WHERE c.oid = CAST('bookings' AS regclass) OR c.oid IN"
        " (SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = CAST('bookings' AS regclass))"
    )
    return int((await tx.execute(statement)).scalar_one())


async def test_a_rush_in_a_new_shop_does_not_make_holds_dearer(office: BoxOffice) -> None:
    await office.execute("TRUNCATE bookings")
    show = await office.schedule(scheduled())
    first = await office.hold(show, best=3)
    await office.execute(OTHERS, holds=FEW)
    for _ in range(UNTIL_PLANNED):
        await office.db.read(held_and_read, clock.new_id())
    await office.execute(OTHERS, holds=HOLDS)
    held, looks = await office.db.read(held_and_read, first.customer_id)
    assert held == len(first.seats)
    assert looks < READ_MAX
