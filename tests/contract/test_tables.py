"""The tables that the code knows are the tables that the migrations make, in every detail."""

import importlib
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import MetaData
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from cinesync.chassis.database import Database, statements
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase
from tests.support.places import SOURCE

SERVICES = sorted(folder.parent.name for folder in SOURCE.glob("*/migrations"))
BOOKKEEPING = "alembic_version"

# One row per column, constraint and index: where it is, and what PostgreSQL says it is.
CATALOG = """
SELECT c.relname || '.' || a.attname AS place,
    format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS definition
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT tablename || ' ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
"""


async def catalog(url: str) -> dict[str, str]:
    """Every column, constraint and index of a database, without those of Alembic."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(CATALOG)
    finally:
        await connection.close()
    return {place: what for place, what in rows if not place.startswith(BOOKKEEPING)}


def ddl_of(metadata: MetaData) -> str:
    """The whole schema as a script."""
    tables = metadata.sorted_tables
    ddl: list[ExecutableDDLElement] = [CreateTable(table) for table in tables]
    ddl += [CreateIndex(index) for table in tables for index in table.indexes]
    return ";".join(str(each.compile(dialect=statements.DIALECT)) for each in ddl)


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    admin = await asyncpg.connect(postgres.url())
    await admin.execute("CREATE DATABASE from_tables")
    yield postgres.url("from_tables")
    await admin.execute("DROP DATABASE from_tables WITH (FORCE)")
    await admin.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_tables_and_migrations_make_the_same_database(
    service: str, make_database: MakeDatabase, empty: str
) -> None:
    migrated: Database = await make_database(service)
    connection = await asyncpg.connect(empty)
    metadata: MetaData = importlib.import_module(f"cinesync.{service}.tables").metadata
    await connection.execute(ddl_of(metadata))
    await connection.close()
    found, expected = await catalog(empty), await catalog(migrated.url)
    assert len(expected) > 30, "the catalog was not read"
    differences = [
        f"{place}: tables.py {found.get(place)}, migrations {expected.get(place)}"
        for place in sorted(found.keys() | expected.keys())
        if found.get(place) != expected.get(place)
    ]
    assert not differences, "\n".join(differences)
