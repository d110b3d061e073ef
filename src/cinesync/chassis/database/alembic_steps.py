"""Alembic's own part of a migration, apart because it is slow to import."""

from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def upgrade(connection: Connection, package: str) -> None:
    """Run what is missing, up to the newest revision in `package`."""
    script = _script(package)

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 Alembic's own recipe

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()


def _script(package: str) -> ScriptDirectory:
    config = Config()
    module, _, folder = package.rpartition(".")
    config.set_main_option("script_location", f"{module}:{folder}")
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)
