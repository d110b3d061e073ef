"""A database of before is carried over, whatever was on its way."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, migrations, open_database, text
from cinesync.ledger import service, store
from cinesync.supervisor.postgres import Postgres

PACKAGE = "cinesync.ledger.migrations"
SUBMISSION = (
    "INSERT INTO submissions"
    " (event_id, kind, booking_id, entry, state, occurred_at, height, log_index)"
    " VALUES (CAST(:event_id AS uuid), 'payment.success', CAST(:event_id AS uuid),"
    " CAST(:entry AS bytea), CAST(:state AS text), now(), CAST(:height AS bigint), 3)"
)
RECEIPT = (
    "INSERT INTO receipts (event_id, booking_id, height, log_index, receipt)"
    " VALUES (CAST(:event_id AS uuid), CAST(:event_id AS uuid), 4, 3, 'a whole receipt')"
)
BLOCK = (
    "INSERT INTO certificates (height, header, certificate, peaks, leaves)"
    " VALUES (7, 'header', 'certificate', 'p', 'l')"
)


@pytest.fixture
async def db(postgres: Postgres) -> AsyncIterator[Database]:
    """As it was before there were batches."""
    opened = open_database(postgres.url("ledger_of_before"))
    await migrations.create_if_missing(opened)
    await migrations.upgrade_to(opened.url, PACKAGE, "0002")
    yield opened
    await opened.close()


async def execute(tx: Transaction, statement: str, /, **values: Any) -> None:
    await tx.execute(text(statement), values)


async def submission(db: Database, entry: bytes, state: str, height: int | None) -> UUID:
    event_id = clock.new_id()
    values = {"event_id": event_id, "entry": entry, "state": state, "height": height}
    await db.run(execute, SUBMISSION, **values)
    return event_id


async def test_what_was_final_stays_so_and_what_waited_waits(db: Database) -> None:
    in_block = await submission(db, b"in a block", "final", 7)
    whole = await submission(db, b"with a receipt", "final", None)
    waits = await submission(db, b"waits", "waiting", None)
    await db.run(execute, RECEIPT, event_id=whole)
    await db.run(execute, BLOCK)
    await migrations.upgrade_to(db.url, PACKAGE, "0004")
    await db.run(execute, "UPDATE alembic_version SET version_num = '0003'")  # it was interrupted
    await migrations.upgrade(db, PACKAGE, "tests")

    proven = await db.read(store.stored_proof, in_block)
    assert proven is not None
    assert proven.block is not None
    assert (proven.entry, proven.block.height) == (b"in a block", 7)
    receipt = await db.read(store.stored_proof, whole)
    assert receipt is not None
    assert (receipt.entry, receipt.receipt) == (b"with a receipt", "a whole receipt")

    assert await db.read(store.stored_proof, waits) is None
    assert await db.read(store.count_pending) == 1
    ((one,),) = await db.read(service.pending, 4)
    assert (one.event_id, one.entry) == (waits, b"waits")
