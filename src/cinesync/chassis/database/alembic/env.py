"""Alembic's environment: Alembic runs it for each of its commands.

Services hand their connection over; on the command line, `-n SERVICE -x url=URL` names a section of
`alembic.ini` and a database.
"""

import asyncio
import importlib
from typing import Any

from alembic import context
from alembic.autogenerate import rewriter
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from cinesync.chassis.database import migrations

repeatable = rewriter.Rewriter()


@repeatable.rewrites(ops.CreateTableOp)
@repeatable.rewrites(ops.CreateIndexOp)
@repeatable.rewrites(ops.AddColumnOp)
def _if_not_exists(_context: MigrationContext, _revision: Any, operation: Any) -> Any:
    """Each statement commits by itself: a migration that was interrupted runs again."""
    operation.if_not_exists = True
    return operation


@repeatable.rewrites(ops.DropTableOp)
@repeatable.rewrites(ops.DropIndexOp)
@repeatable.rewrites(ops.DropColumnOp)
def _if_exists(_context: MigrationContext, _revision: Any, operation: Any) -> Any:
    operation.if_exists = True
    return operation


def _number(found: MigrationContext, revision: Any, scripts: list[ops.MigrationScript]) -> None:
    """Revisions are numbered: 0013 follows 0012."""
    head = ScriptDirectory.from_config(context.config).get_current_head()
    scripts[0].rev_id = f"{int(head or 0) + 1:04d}"
    repeatable(found, revision, scripts)


def _run(connection: Connection) -> None:
    tables = context.config.get_main_option("tables")
    context.configure(
        connection=connection,
        target_metadata=importlib.import_module(tables).metadata if tables else None,
        transactional_ddl=False,
        compare_server_default=True,
        process_revision_directives=_number,
    )
    context.run_migrations()


async def _connect() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise SystemExit("alembic -n SERVICE -x url=postgresql://…/DATABASE …")
    async with migrations.connect(str(url)) as connection:
        await connection.run_sync(_run)


if (given := context.config.attributes.get("connection")) is not None:
    _run(given)
else:
    asyncio.run(_connect())
