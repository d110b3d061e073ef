"""Leases: one owner at a time, by the database's clock."""

import asyncio

import pytest

from cinesync.chassis.database import Database, Transaction, lease, text
from tests.conftest import MakeDatabase


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("tests.integration.chassis.toy")


async def expire(tx: Transaction) -> None:
    await tx.execute(text("UPDATE leases SET expires_at = now()"))


async def test_only_one_of_many_takes_a_lease(db: Database) -> None:
    answers = await asyncio.gather(*(lease.held(db, "relay", f"process {n}") for n in range(8)))
    assert sorted(answers) == [False] * 7 + [True]


async def test_the_owner_keeps_it_and_the_others_wait(db: Database) -> None:
    assert await lease.held(db, "relay", "a")
    assert not await lease.held(db, "relay", "b")
    assert await lease.held(db, "relay", "a")
    assert await lease.held(db, "another thing", "b")


async def test_an_expired_lease_goes_to_the_next_and_the_old_owner_does_not_get_it_back(
    db: Database,
) -> None:
    assert await lease.held(db, "relay", "a")
    await db.run(expire)
    assert await lease.held(db, "relay", "b")
    assert not await lease.held(db, "relay", "a")


async def test_a_lease_handed_back_is_free_at_once_but_only_its_owner_can_hand_it_back(
    db: Database,
) -> None:
    assert await lease.held(db, "relay", "a", 3600)
    await db.run(lease.give_back, "relay", "b")
    assert not await lease.held(db, "relay", "b")
    await db.run(lease.give_back, "relay", "a")
    assert await lease.held(db, "relay", "b")
