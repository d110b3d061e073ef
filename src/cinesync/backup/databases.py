"""Changes in a restored shop's databases: another shop id, no earlier ledger, events sent again."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

from cinesync.backup.manifest import ByteProgress
from cinesync.bootstrap import SERVICES
from cinesync.chassis import clock
from cinesync.chassis.database.identity import ID_ROW, OLDER_ROW
from cinesync.contracts import CONSUMERS
from cinesync.contracts.ledger import LedgerCommitted
from cinesync.supervisor.postgres import Postgres

DatabaseConnection: TypeAlias = "asyncpg.Connection[Any]"

PAGE: Final = 1000
# The new ledger emits its own `ledger.committed`; events without consumers need no second delivery.
QUEUES: Final = {
    event.name: names for event, names in CONSUMERS.items() if names and event != LedgerCommitted
}

# What proves the earlier ledger: the certificates of its blocks, and stored receipts.
ARCHIVED: Final = (
    (
        "certificates",
        "CREATE TABLE certificates (height INTEGER PRIMARY KEY, header TEXT NOT NULL,"
        " certificate TEXT NOT NULL, peaks BLOB, leaves BLOB)",
        "SELECT height, header, certificate, peaks, leaves FROM certificates ORDER BY height",
    ),
    (
        "receipts",
        "CREATE TABLE receipts (event_id TEXT PRIMARY KEY, height INTEGER NOT NULL,"
        " log_index INTEGER NOT NULL, receipt TEXT NOT NULL)",
        "SELECT CAST(event_id AS text), height, log_index, receipt FROM receipts ORDER BY event_id",
    ),
)
# The ledger service submits every entry again that has no receipt and no block.
FORGET_LEDGER: Final = (
    "DELETE FROM receipts",
    "DELETE FROM certificates",
    "UPDATE batches SET height = NULL WHERE height IS NOT NULL",
    f"UPDATE outbox SET sent_at = now() WHERE sent_at IS NULL AND name = '{LedgerCommitted.name}'",  # noqa: S608 a constant
)


@asynccontextmanager
async def connected(server: Postgres, service: str) -> AsyncIterator[DatabaseConnection]:
    """Connected as superuser, without a statement timeout."""
    connection = await asyncpg.connect(server.url(f"cinesync_{service}"))
    try:
        await connection.execute("SET statement_timeout = 0")
        yield connection
    finally:
        await connection.close()


async def become_another_shop(server: Postgres) -> None:
    """Give each database another id. A broker may hold events from after the backup's point; by the
    id, this shop refuses its queues."""
    for service in SERVICES:
        async with connected(server, service) as database, database.transaction():
            await database.execute("DELETE FROM leases WHERE name = $1", OLDER_ROW)
            await database.execute(
                "INSERT INTO leases (name, owner, expires_at) VALUES ($1, $2, 'infinity')"
                " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner",
                ID_ROW,
                str(clock.new_id()),
            )


async def forget_earlier_ledger(server: Postgres, archive: Path, progress: ByteProgress) -> int:
    """Archive what proves the earlier ledger, and mark all entries to be submitted again.

    Returns their number.
    """
    async with connected(server, "ledger") as ledger:
        with closing(sqlite3.connect(archive, isolation_level=None)) as file:
            for table, ddl, rows in ARCHIVED:
                await _archive(ledger, file, (table, ddl, rows), progress)
        async with ledger.transaction():
            for statement in FORGET_LEDGER:
                await ledger.execute(statement)
        count: int = await ledger.fetchval("SELECT count(*) FROM submissions")
    async with connected(server, "booking") as booking:
        await booking.execute("DELETE FROM booking_receipts")
    return count


async def _archive(
    ledger: DatabaseConnection,
    file: sqlite3.Connection,
    archived: tuple[str, str, str],
    progress: ByteProgress,
) -> None:
    table, ddl, rows = archived
    file.execute(ddl)
    file.execute("BEGIN")
    count = 0
    async with ledger.transaction(readonly=True):
        async for row in ledger.cursor(rows, prefetch=PAGE):
            marks = ",".join("?" * len(row))
            file.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row))  # noqa: S608 ours
            count += 1
            if count % PAGE == 0:
                progress(f"archiving the earlier ledger's {table}: {count}", 0, 0)
    file.execute("COMMIT")


async def send_undelivered_again(server: Postgres) -> int:
    """Mark events as unsent that not every consumer has handled, by the inboxes; how many.

    The old broker had accepted them, and the new one does not have them.
    """
    count = 0
    for service in SERVICES:
        async with connected(server, service) as emitter:
            after = UUID(int=0)
            while page := await emitter.fetch(SENT, after, list(QUEUES), PAGE):
                after = page[-1]["event_id"]
                missed = await _missed(server, page)
                await emitter.execute(
                    "UPDATE outbox SET sent_at = NULL WHERE event_id = ANY($1::uuid[])", missed
                )
                count += len(missed)
    return count


SENT: Final = (
    "SELECT event_id, name FROM outbox WHERE sent_at IS NOT NULL AND event_id > $1"
    " AND name = ANY($2::text[]) ORDER BY event_id LIMIT $3"
)


async def _missed(server: Postgres, page: Sequence[Any]) -> list[UUID]:
    """The events of `page` that one of their consumers has not handled."""
    missed: set[UUID] = set()
    for consumer in sorted({name for row in page for name in QUEUES[row["name"]]}):
        wanted = [row for row in page if consumer in QUEUES[row["name"]]]
        queues = [f"{consumer}.{row['name']}" for row in wanted]
        ids = [row["event_id"] for row in wanted]
        async with connected(server, consumer) as database:
            found = await database.fetch(
                "SELECT t.event_id FROM unnest($1::text[], $2::uuid[]) AS t(queue, event_id)"
                " WHERE NOT EXISTS (SELECT 1 FROM inbox i"
                " WHERE i.queue = t.queue AND i.event_id = t.event_id)",
                queues,
                ids,
            )
        missed |= {row["event_id"] for row in found}
    return sorted(missed)


async def known_payments(server: Postgres, references: Sequence[UUID]) -> set[UUID]:
    async with connected(server, "payment") as payment:
        rows = await payment.fetch(
            "SELECT payment_id FROM payments WHERE payment_id = ANY($1::uuid[])", references
        )
    return {row["payment_id"] for row in rows}


async def known_refunds(server: Postgres, refund_ids: Sequence[UUID]) -> set[UUID]:
    async with connected(server, "payment") as payment:
        rows = await payment.fetch(
            "SELECT refund_id FROM refunds WHERE refund_id = ANY($1::uuid[])", refund_ids
        )
    return {row["refund_id"] for row in rows}
