"""What a restored shop's databases forget, and what is told again."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from cinesync.backup import databases
from cinesync.bootstrap import SERVICES
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.database.identity import identify
from cinesync.chassis.messaging import outbox
from cinesync.contracts.payment import PaymentSuccess
from cinesync.ledger import service
from cinesync.ledger.model import CertifiedBlock, CommittedSubmission
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase
from tests.support.ledger_events import paid

pytestmark = pytest.mark.slow

SERVER = cast("Postgres", None)


@pytest.fixture
async def shop(make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> dict[str, Database]:
    """Databases by service, which the server of a restored folder stands for."""
    made = {name: await make_database(name) for name in SERVICES}

    @asynccontextmanager
    async def connected(_server: Postgres, name: str) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(made[name].url)
        yield connection
        await connection.close()

    monkeypatch.setattr(databases, "connected", connected)
    return made


async def rows(db: Database, statement: str) -> list[tuple[Any, ...]]:
    async def query(tx: Transaction) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await tx.execute(text(statement))]

    return await db.read(query)


async def tell(db: Database, *events: PaymentSuccess, hearers: dict[str, Database]) -> None:
    """A broker took them, and these have heard them."""

    async def command(tx: Transaction) -> None:
        await outbox.append(tx, events)
        await outbox.mark_sent(tx, [event.event_id for event in events])

    async def hear(tx: Transaction, queue: str) -> None:
        for event in events:
            statement = text(
                "INSERT INTO inbox (queue, event_id)"
                " VALUES (CAST(:queue AS text), CAST(:id AS uuid))"
            )
            await tx.execute(statement, {"queue": queue, "id": event.event_id})

    await db.run(command)
    for name, hearer in hearers.items():
        await hearer.run(hear, f"{name}.payment.success")


async def test_only_what_a_consumer_never_had_is_sent_again(
    shop: dict[str, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAGE", 2)
    heard, half, unheard = (paid(clock.new_id()) for _ in range(3))
    both = {name: shop[name] for name in ("booking", "ledger")}
    await tell(shop["payment"], heard, hearers=both)
    await tell(shop["payment"], half, hearers={"booking": shop["booking"]})
    await tell(shop["payment"], unheard, hearers={})
    assert await databases.send_undelivered_again(SERVER) == 2
    unsent = await rows(shop["payment"], "SELECT event_id FROM outbox WHERE sent_at IS NULL")
    assert {row[0] for row in unsent} == {half.event_id, unheard.event_id}
    assert await databases.send_undelivered_again(SERVER) == 0


async def test_the_earlier_ledger_is_archived_and_all_entries_are_submitted_again(
    shop: dict[str, Database], tmp_path: Path
) -> None:
    ledger, events = shop["ledger"], [paid(clock.new_id()) for _ in range(3)]
    await ledger.run(service.record, events)
    ((part,),) = [await ledger.read(service.pending, 1)]
    recorded = [
        CommittedSubmission(
            event_id=one.event_id,
            batch_id=one.batch_id,
            kind=one.kind,
            booking_id=one.booking_id,
            index=index,
            receipt=json.dumps({"index": index}),
        )
        for index, one in enumerate(part)
    ]
    sealed = CertifiedBlock(
        height=7, header='{"height":7}', certificate="{}", peaks=b"p", leaves=b"l"
    )
    await ledger.run(service.commit, recorded, sealed)
    assert await ledger.read(service.pending, 1) == []
    archive = tmp_path / "certificates.sqlite"
    count = await databases.forget_earlier_ledger(SERVER, archive, lambda *_: None)
    assert count == 3
    ((again,),) = [await ledger.read(service.pending, 1)]
    assert [one.entry for one in again] == [one.entry for one in part]
    assert await rows(ledger, "SELECT height FROM certificates") == []
    assert await rows(ledger, "SELECT event_id FROM receipts") == []
    stale = "SELECT event_id FROM outbox WHERE sent_at IS NULL AND name = 'ledger.committed'"
    assert await rows(ledger, stale) == [], "where blocks were is told to nobody"
    with closing(sqlite3.connect(archive)) as kept:
        assert kept.execute("SELECT height, header, peaks FROM certificates").fetchall() == [
            (7, '{"height":7}', b"p")
        ]
        assert kept.execute("SELECT count(*), min(height) FROM receipts").fetchall() == [(3, 7)]


async def test_a_restored_shop_is_another_one_to_a_broker(shop: dict[str, Database]) -> None:
    before = {name: await db.run(identify, clock.new_id()) for name, db in shop.items()}
    await databases.become_another_shop(SERVER)
    after = {name: await db.run(identify, clock.new_id()) for name, db in shop.items()}
    assert all(before[name].id != after[name].id for name in shop)
    again = {name: await db.run(identify, clock.new_id()) for name, db in shop.items()}
    assert again == after
    assert not any(one.is_older_than_shop_ids for one in after.values())
