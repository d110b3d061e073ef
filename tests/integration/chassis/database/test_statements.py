"""Text statements: their binds, their rows, and what they raise."""

import pytest
from asyncpg import DataError
from sqlalchemy import func, select

from cinesync.chassis.database.database import Database, Transaction, text
from cinesync.chassis.database.statements import NotOneRow, Rows
from tests.conftest import MakeDatabase


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("tests.integration.chassis.toy")


async def test_a_name_may_be_bound_twice_and_a_cast_is_no_bind(db: Database) -> None:
    async def query(tx: Transaction) -> Rows:
        statement = text(
            "SELECT CAST(:a AS bigint) AS a, CAST(:b AS text) AS b, CAST(:a AS bigint) + 1 AS c,"
            " '12:30'::time AS at"
        )
        return await tx.execute(statement, {"b": "x", "a": 1})

    row = (await db.read(query)).one()
    assert (row.a, row.b, row.c, row.at.hour) == (1, "x", 2, 12)
    assert dict(row)["b"] == row["b"] == "x"
    with pytest.raises(AttributeError, match="nothing"):
        _ = row.nothing


async def test_text_and_core_share_a_transaction(db: Database) -> None:
    async def query(tx: Transaction) -> bool:
        first = (await tx.execute(text("SELECT now() AS at"))).scalar_one()
        return bool(first == (await tx.execute(select(func.now()))).scalar_one())

    assert await db.read(query)


async def test_changes_are_counted(db: Database) -> None:
    async def command(tx: Transaction) -> list[int]:
        copy = (
            "INSERT INTO leases (name, owner, expires_at)"
            " SELECT CAST('a' AS text), CAST('b' AS text), now()"
        )
        inside = "UPDATE leases SET owner = 'd' WHERE name IN (SELECT l.name FROM leases l)"
        assert (await tx.execute(text(copy))).rowcount == 1
        assert (await tx.execute(text(inside))).rowcount == 1
        await tx.execute(text("DELETE FROM leases"))
        insert = "INSERT INTO leases (name, owner, expires_at) VALUES ('a', 'b', now())"
        inserted = (await tx.execute(text(insert))).rowcount
        updated = (await tx.execute(text("UPDATE leases SET owner = 'c'"))).rowcount
        returned = (await tx.execute(text("DELETE FROM leases RETURNING name"))).rowcount
        await tx.execute(text("SET LOCAL lock_timeout = 10"))
        return [inserted, updated, returned]

    assert await db.run(command) == [1, 1, 1]


def test_rows_answer_like_a_result() -> None:
    none, one, two = Rows((), 0), Rows([[1, 2]], 1), Rows([[1, 2], [3, 4]], 2)
    assert (none.first(), one.first(), two.first()) == (None, [1, 2], [1, 2])
    assert (none.one_or_none(), one.one_or_none()) == (None, [1, 2])
    assert (none.scalar(), one.scalar(), two.scalar()) == (None, 1, 1)
    assert (none.scalar_one_or_none(), one.scalar_one_or_none()) == (None, 1)
    assert (two.scalars(), two.all(), two.mappings()) == ([1, 3], two, two)
    for promise in (two.one, two.one_or_none, none.one, none.scalar_one):
        with pytest.raises(NotOneRow):
            promise()


async def test_a_parameter_of_the_wrong_kind_is_no_lost_connection(db: Database) -> None:
    async def query(tx: Transaction) -> None:
        await tx.execute(text("SELECT CAST(:a AS bigint) AS a"), {"a": "one"})

    with pytest.raises(DataError, match="invalid input"):
        await db.read(query)
