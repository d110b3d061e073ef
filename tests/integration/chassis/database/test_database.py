"""Transactions on a real server: commit, rollback, retry."""

import asyncio

import asyncpg
import pytest
from asyncpg import InternalClientError, UndefinedColumnError

from cinesync.chassis.database import (
    Database,
    DatabaseFull,
    Transaction,
    lease,
    migrations,
    open_database,
    retry,
    text,
)
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase


async def test_a_command_is_committed_and_its_result_returned(postgres: Postgres) -> None:
    db = open_database(postgres.url())
    for ddl in migrations.CHASSIS_DDL:
        async with db.connection() as connection:
            await connection.execute(ddl)

    async def command(tx: Transaction, name: str) -> bool:
        return await lease.take(tx, name, "me")

    assert await db.run(command, "a") is True
    assert await db.run(lease.take, "a", "you") is False
    assert await db.run(lease.take, "a", "me") is True

    async def level(tx: Transaction) -> str:
        row = (await tx.execute(text("SHOW transaction_isolation"))).one()
        return str(row[0])

    assert await db.read(level) == "serializable"
    assert await db.run(level) == "serializable"

    async def count_up(tx: Transaction) -> int:
        row = (await tx.execute(text("SELECT count(*) FROM leases WHERE name LIKE 'n%'"))).one()
        await asyncio.sleep(0.01)
        await lease.take(tx, f"n{row[0]}", "me")
        return int(row[0])

    assert sorted(await asyncio.gather(*(db.run(count_up) for _ in range(5)))) == [0, 1, 2, 3, 4]

    async def broken(tx: Transaction) -> None:
        await tx.execute(text("SELECT no_such_column"))

    with pytest.raises(UndefinedColumnError, match="no_such_column"):
        await db.run(broken)
    await db.close()


@pytest.mark.parametrize("serialize_writes", [True, False])
async def test_serialized_writes_never_run_side_by_side(
    make_database: MakeDatabase, *, serialize_writes: bool
) -> None:
    plain = await make_database("tests.integration.chassis.toy")
    db = Database(plain.pool, plain.url, serialize_writes=serialize_writes)
    running = most = 0

    async def command(tx: Transaction) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await tx.execute(text("SELECT pg_sleep(0.02)"))
        running -= 1

    await asyncio.gather(*(db.run(command) for _ in range(4)))
    assert (most == 1) is serialize_writes


async def test_one_statement_does_not_wait_for_the_write_lock(make_database: MakeDatabase) -> None:
    plain = await make_database("tests.integration.chassis.toy")
    db = Database(plain.pool, plain.url, serialize_writes=True)

    async def one(tx: Transaction) -> int:
        return int((await tx.execute(text("SELECT 1"))).scalar_one())

    async def meanwhile(tx: Transaction) -> int:
        async with asyncio.timeout(10):
            return await db.run_one(one) + await one(tx)

    assert await db.run(meanwhile) == 2


async def test_one_statement_is_a_serializable_transaction_and_there_is_no_second(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("tests.integration.chassis.toy")

    async def isolation(tx: Transaction) -> str:
        return str((await tx.execute(text("SHOW transaction_isolation"))).scalar_one())

    async def twice(tx: Transaction) -> str:
        return await isolation(tx) + await isolation(tx)

    assert await db.run_one(isolation) == "serializable"
    with pytest.raises(RuntimeError, match="one statement"):
        await db.run_one(twice)


async def test_a_driver_that_lost_its_place_gets_another_connection(
    make_database: MakeDatabase,
) -> None:
    """As asyncpg does when the server is killed between two of its messages."""
    db = await make_database("booking")
    servers: list[int] = []

    async def lose_place_once(tx: Transaction) -> None:
        servers.append((await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one())
        if len(servers) % 2:
            raise InternalClientError("cannot switch to state 12; another operation is in progress")

    await db.run(lose_place_once)
    await db.read(lose_place_once)
    await db.run_one(lose_place_once)
    first, second, third, fourth, fifth, sixth = servers
    assert first != second == third != fourth == fifth != sixth


@pytest.mark.parametrize("error", [asyncpg.DiskFullError, asyncpg.OutOfMemoryError])
async def test_a_database_without_room_is_an_outage_and_told_at_once(
    make_database: MakeDatabase, error: type[Exception]
) -> None:
    """No event is guilty of it: it would be among the dead letters within 25 s."""
    db = await make_database("tests.integration.chassis.toy")
    runs: list[int] = []

    async def write(_: Transaction) -> None:
        runs.append(1)
        raise error("could not extend file: No space left on device")

    for work in (db.run, db.run_repeatable, db.run_one, db.read):
        with pytest.raises(DatabaseFull) as full:
            await work(write)
        assert full.value.members == {"retry_after_seconds": 5}
    assert len(runs) == 4


async def test_without_the_guard_a_full_disk_is_an_events_fault(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RESOURCE_CLASSES", ())
    db = await make_database("tests.integration.chassis.toy")

    async def write(_: Transaction) -> None:
        raise asyncpg.DiskFullError("No space left on device")

    with pytest.raises(asyncpg.DiskFullError):
        await db.run(write)
