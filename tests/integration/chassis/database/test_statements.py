"""Statements: how they are compiled, their parameters, their rows, and what they raise."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from asyncpg import DataError
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Interval,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError

from cinesync.chassis import clock
from cinesync.chassis.database import (
    Database,
    NotOneRow,
    Rows,
    Transaction,
    any_of,
    batch,
    compiled,
    insert_from,
    matches,
    text,
)
from cinesync.chassis.database.tables import leases
from tests.conftest import MakeDatabase

items = Table(
    "items",
    MetaData(),
    Column("item_id", Uuid, primary_key=True),
    Column("words", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("seen_at", DateTime(timezone=True)),
)
LEASES = batch("rows", leases.c.name, leases.c.owner)
INSERT = compiled(insert_from(leases, LEASES, expires_at=bindparam("until")))


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("tests.integration.chassis.toy")


def test_a_parameter_takes_its_type_from_its_column_and_a_constant_is_part_of_the_sql() -> None:
    found = compiled(
        select(items.c.words)
        .where(items.c.item_id == bindparam("id"), items.c.words.in_(["a", "it's"]))
        .limit(bindparam("limit", type_=BigInteger))
    )
    assert " ".join(found.sql.split()) == (
        "SELECT items.words FROM items WHERE items.item_id = $1::UUID"
        " AND items.words IN ('a', 'it''s') LIMIT $2::BIGINT"
    )
    assert found.arguments({"limit": 3, "id": 7}) == [7, 3]
    with pytest.raises(KeyError, match="limit"):
        found.arguments({"id": 7})


def test_any_of_takes_a_list_of_any_length_and_a_list_of_parameters_is_refused() -> None:
    found = compiled(delete(items).where(any_of(items.c.item_id, "ids")))
    assert found.sql == "DELETE FROM items WHERE items.item_id = ANY ($1::UUID[])"
    with pytest.raises(SQLAlchemyError, match="'ids'"):
        compiled(delete(items).where(items.c.item_id.in_(bindparam("ids", expanding=True))))


def test_a_parameter_of_no_type_is_refused() -> None:
    with pytest.raises(TypeError, match="'id', type_="):
        compiled(delete(items).where(items.c.item_id.in_([bindparam("id")])))


def test_a_text_takes_types_from_tables_and_keywords_and_batches_by_name() -> None:
    found = text(
        "UPDATE items SET seen_at = now() - :pause FROM :rows"
        " WHERE items.item_id = :item_id AND items.words = rows.words AND rows.n = ANY(:n)",
        items,
        batch("rows", items.c.words, items.c.item_id.label("other_id")),
        pause=Interval,
        n=ARRAY(BigInteger),
    )
    assert found.sql == (
        "UPDATE items SET seen_at = now() - $1::INTERVAL"
        " FROM unnest($2::TEXT[], $3::UUID[]) AS rows(words, other_id)"
        " WHERE items.item_id = $4::UUID AND items.words = rows.words"
        " AND rows.n = ANY($5::BIGINT[])"
    )
    values = {"item_id": 5, "pause": 6, "rows": [("a", 1), ("b", 2)], "n": [9]}
    assert found.arguments(values) == [6, ("a", "b"), (1, 2), 5, [9]]
    with pytest.raises(ValueError, match="no bind is named words"):
        text("SELECT :item_id", items, words=Text)


@dataclass
class Item:
    item_id: int
    words: str


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "a"), (2, "b")],
        [Item(1, "a"), Item(2, "b")],
        [{"words": "a", "item_id": 1}, {"words": "b", "item_id": 2}],
    ],
)
def test_the_rows_of_a_batch_are_tuples_objects_or_mappings(rows: list[object]) -> None:
    found = compiled(
        insert_from(items, batch("rows", items.c.item_id, items.c.words), seen_at=func.now())
    )
    assert [list(array) for array in found.arguments({"rows": rows})] == [[1, 2], ["a", "b"]]
    assert [list(array) for array in found.arguments({"rows": []})] == [[], []]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 values a row"):
        INSERT.arguments({"rows": [("a", "b", "c")], "until": clock.now()})
    with pytest.raises(ValueError, match="shorter"):
        INSERT.arguments({"rows": [("a", "b"), ("a",)], "until": clock.now()})


async def test_a_batch_inserts_matches_and_carries_json(db: Database) -> None:
    ids = sorted(clock.new_id() for _ in range(2))
    rows = batch("rows", items.c.item_id, items.c.details, items.c.seen_at)
    moved = batch("rows", items.c.item_id, items.c.details)

    async def command(tx: Transaction) -> list[tuple[UUID, object, datetime | None]]:
        insert = compiled(
            insert_from(items, rows, words="new").on_conflict_do_nothing(index_elements=["item_id"])
        )
        values = [(ids[0], '{"a": 1}', clock.now()), (ids[1], "[]", None)]
        assert (await tx.execute(insert, {"rows": values})).rowcount == 2
        assert (await tx.execute(insert, {"rows": values})).rowcount == 0
        change = compiled(
            update(items)
            .values(details=moved.c.details, seen_at=func.now() - bindparam("ago", type_=Interval))
            .where(matches(items, moved))
        )
        changes = {"rows": [(ids[1], '["b"]')], "ago": timedelta(days=1)}
        assert (await tx.execute(change, changes)).rowcount == 1
        find = select(items.c.item_id, items.c.details, items.c.seen_at).order_by(items.c.item_id)
        found = [tuple(row) for row in await tx.execute(compiled(find))]
        gone = compiled(delete(items).where(any_of(items.c.item_id, "ids")))
        assert (await tx.execute(gone, {"ids": ids})).rowcount == 2
        return found

    await _create(db)
    [first, second] = await db.run(command)
    assert (first[:2], second[:2]) == ((ids[0], {"a": 1}), (ids[1], ["b"]))
    assert first[2] is not None
    assert second[2] is not None
    assert first[2] - second[2] > timedelta(hours=23)


async def _create(db: Database) -> None:
    async def ddl(tx: Transaction) -> None:
        await tx.execute(
            text(
                "CREATE TABLE IF NOT EXISTS items (item_id UUID PRIMARY KEY, words TEXT NOT NULL,"
                " details JSONB NOT NULL, seen_at TIMESTAMPTZ)"
            )
        )

    await db.run_one(ddl)


async def test_a_name_may_be_bound_twice_and_a_cast_is_no_bind(db: Database) -> None:
    async def query(tx: Transaction) -> Rows:
        statement = text(
            "SELECT :a AS a, :b AS b, :a + 1 AS c, '12:30'::time AS at", a=BigInteger, b=Text
        )
        return await tx.execute(statement, {"b": "x", "a": 1})

    row = (await db.read(query)).one()
    assert (row.a, row.b, row.c, row.at.hour) == (1, "x", 2, 12)
    assert dict(row)["b"] == row["b"] == "x"
    with pytest.raises(AttributeError, match="nothing"):
        _ = row.nothing


async def test_changes_are_counted(db: Database) -> None:
    async def command(tx: Transaction) -> list[int]:
        until = clock.now()
        rows = [("a", "x"), ("b", "x")]
        inserted = (await tx.execute(INSERT, {"rows": rows, "until": until})).rowcount
        inside = "UPDATE leases SET owner = 'd' WHERE name IN (SELECT l.name FROM leases l)"
        updated = (await tx.execute(text(inside))).rowcount
        first = compiled(delete(leases).where(leases.c.name == "a").returning(leases.c.name))
        returned = (await tx.execute(first)).rowcount
        deleted = (await tx.execute(compiled(delete(leases)))).rowcount
        await tx.execute(text("SET LOCAL lock_timeout = 10"))
        return [inserted, updated, returned, deleted]

    assert await db.run(command) == [2, 2, 1, 1]


def test_rows_answer_like_a_result() -> None:
    none, one, two = Rows((), 0), Rows([[1, 2]], 1), Rows([[1, 2], [3, 4]], 2)
    assert (none.first(), one.first(), two.first()) == (None, [1, 2], [1, 2])
    assert (none.one_or_none(), one.one_or_none()) == (None, [1, 2])
    assert (none.scalar(), one.scalar(), two.scalar()) == (None, 1, 1)
    assert (none.scalar_one_or_none(), one.scalar_one_or_none()) == (None, 1)
    assert two.scalars() == [1, 3]
    for promise in (two.one, two.one_or_none, none.one, none.scalar_one):
        with pytest.raises(NotOneRow):
            promise()


async def test_a_parameter_of_the_wrong_kind_is_no_lost_connection(db: Database) -> None:
    async def query(tx: Transaction) -> None:
        await tx.execute(text("SELECT :a AS a", a=BigInteger), {"a": "one"})

    with pytest.raises(DataError, match="invalid input"):
        await db.read(query)
