"""`alembic` on the command line: it knows every service, and writes the next migration."""

import asyncio
import shutil
from argparse import Namespace
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from cinesync.chassis.database import migrations
from tests.conftest import MakeDatabase
from tests.support.places import ROOT, SOURCE

SERVICES = sorted(folder.parent.name for folder in SOURCE.glob("*/migrations"))


def configuration(service: str, url: str) -> Config:
    """As `alembic -n SERVICE -x url=URL` has it."""
    options = Namespace(x=[f"url={url}"])
    return Config(ROOT / "alembic.ini", ini_section=service, cmd_opts=options)


def read(path: Path) -> str:
    """A whole file."""
    return path.read_text()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_migrated_database_needs_no_other_migration(
    service: str, make_database: MakeDatabase
) -> None:
    db = await make_database(service)
    await asyncio.to_thread(command.check, configuration(service, db.url))


async def test_a_difference_becomes_a_numbered_and_repeatable_migration(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    db = await make_database("ledger")
    shutil.copytree(SOURCE / "ledger/migrations/versions", tmp_path, dirs_exist_ok=True)
    connection = await asyncpg.connect(db.url)
    await connection.execute("ALTER TABLE writers DROP COLUMN next_sequence")
    await connection.execute("DROP INDEX submissions_of_customer")
    await connection.close()
    config = configuration("ledger", db.url)
    config.set_main_option("version_locations", str(tmp_path))
    newest = int(migrations.newest("cinesync.ledger.migrations"))
    await asyncio.to_thread(command.revision, config, "two things again", autogenerate=True)
    assert read(tmp_path / f"{newest + 1:04d}_two_things_again.py").count("if_not_exists=True") == 2
    for _ in range(2):
        await asyncio.to_thread(command.upgrade, config, "head")
        await asyncio.to_thread(command.check, config)
        await asyncio.to_thread(command.stamp, config, f"{newest:04d}")


async def test_without_a_database_it_says_how_to_name_one() -> None:
    config = Config(ROOT / "alembic.ini", ini_section="ledger")
    with pytest.raises(SystemExit, match="-x url="):
        await asyncio.to_thread(command.current, config)
