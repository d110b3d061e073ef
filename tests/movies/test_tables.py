"""The tables that the code knows are the tables that the migrations make."""

from typing import Any

from sqlalchemy import Connection, inspect

from cinesync.chassis.db import Database, Transaction
from cinesync.movies.tables import metadata


def _made(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"])
                for column in inspector.get_columns(table)
            },
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": {
                (index["name"], tuple(index["column_names"]), bool(index["unique"]))
                for index in inspector.get_indexes(table)
                if "duplicates_constraint" not in index
            },
            "uniques": {
                tuple(unique["column_names"]) for unique in inspector.get_unique_constraints(table)
            },
            "references": {
                (tuple(key["constrained_columns"]), key["referred_table"])
                for key in inspector.get_foreign_keys(table)
            },
        }
        for table in metadata.tables
    }


async def test_tables_and_migrations_agree(db: Database) -> None:
    async def reflect(tx: Transaction) -> dict[str, Any]:
        return await tx.run_sync(_made)

    async def create(tx: Transaction) -> dict[str, Any]:
        await tx.run_sync(metadata.drop_all)
        await tx.run_sync(metadata.create_all)
        return await tx.run_sync(_made)

    migrated = await db.read(reflect)
    assert await db.run(create) == migrated
