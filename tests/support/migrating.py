"""Takes a test's database to an older revision than the newest."""

from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection

from cinesync.chassis.database import Database, alembic_steps


async def upgrade_to(db: Database, package: str, revision: str) -> None:
    """Run the migrations of `package` up to `revision`."""

    def run(connection: Connection) -> None:
        script = alembic_steps._script(package)

        def steps(now: Any, _context: Any) -> Any:
            return script._upgrade_revs(revision, now)

        with EnvironmentContext(Config(), script, fn=steps) as environment:
            environment.configure(connection=connection, transactional_ddl=False)
            environment.run_migrations()

    async with db.engine.connect() as connection:
        await connection.run_sync(run)
