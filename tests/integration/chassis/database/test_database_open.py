"""How a database is opened from its URL, and what a client is told when it does not answer."""

import asyncio

import pytest

from cinesync.chassis.database import (
    Contended,
    DatabaseAway,
    Transaction,
    delete_old_markers,
    lease,
    open_database,
    retry,
    text,
)
from tests.conftest import MakeDatabase

AWAY = "postgresql://nobody@/nothing?host=/no/such/folder"


async def test_a_server_that_is_away_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 0.05)
    db = open_database(AWAY)
    for call in (db.run, db.read):
        with pytest.raises(DatabaseAway) as caught:
            await call(delete_old_markers)
        assert caught.value.members == {"retry_after_seconds": 2}
    await db.close()


async def test_a_row_that_too_many_want_is_said_to_be_contended(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS_MAX", 0.05)
    db = await make_database("tests.integration.chassis.toy")
    await lease.held(db, "relay", "a")
    held, done = asyncio.Event(), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await lease.take(tx, "relay", "a")
        held.set()
        await done.wait()

    async def want(tx: Transaction) -> bool:
        await tx.execute(text("SET LOCAL lock_timeout = 10"))
        return await lease.take(tx, "relay", "a")

    holding = asyncio.create_task(db.run(hold))
    await held.wait()
    with pytest.raises(Contended):
        await db.run(want)
    done.set()
    await holding


async def test_only_markers_that_no_command_retries_are_deleted(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("tests.integration.chassis.toy")

    async def count(tx: Transaction) -> int:
        return int((await tx.execute(text("SELECT count(*) FROM run_keys"))).scalar_one())

    async def age(tx: Transaction) -> None:
        await tx.execute(text("UPDATE run_keys SET ran_at = now() - interval '2 hours'"))

    await lease.held(db, "relay", "a")
    before = await db.read(count)
    await db.run(age)
    assert await db.run(delete_old_markers) >= before
    assert await db.read(count) == 1, "its own"
    assert await db.run(delete_old_markers) == 0


async def test_a_cancelled_command_leaves_nothing_behind_and_its_connection_is_usable(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("tests.integration.chassis.toy")
    begun = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await lease.take(tx, "relay", "cancelled")
        begun.set()
        await tx.execute(text("SELECT pg_sleep(60)"))

    for _ in range(10):  # more than the pool holds
        begun.clear()
        task = asyncio.create_task(db.run(slow))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await lease.held(db, "relay", "somebody else")
