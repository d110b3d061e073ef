"""A shop's databases, filled by its first start, once for all test processes of a run.

Filling the demo chain takes ten times what the rest of a start does. A shop under test begins
with a copy of all of it: nothing of a data folder may be missing.
"""

import asyncio
import fcntl
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.infrastructure import postgres_of
from cinesync.supervisor.postgres import Postgres
from tests.support.eventually import wait_for
from tests.support.shop import UpProcess

FOLDER = pytest.StashKey[Path]()
LEFT_OUT = {"lock", "logs", "run.json"}
SPEAKERS = ("auth", "movies", "booking")


def pytest_configure(config: pytest.Config) -> None:
    """A folder for the run: every test process is told the one that the first has made."""
    told: dict[str, Any] = getattr(config, "workerinput", {})
    config.stash[FOLDER] = Path(told.get("filled") or tempfile.mkdtemp(prefix="cinesync-filled-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a test process that is about to start."""
    node.workerinput["filled"] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """The one that made the folder ends last."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[FOLDER])


@pytest.fixture(scope="session")
def filled(pytestconfig: pytest.Config) -> Path:
    """What a shop's data folder begins with: what `cinesync up` has left in an empty one."""
    folder = pytestconfig.stash[FOLDER]
    kept = folder / "kept"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _fill(folder / "shop", folder / "unfinished")
            (folder / "unfinished").rename(kept)
    return kept


def _fill(home: Path, kept: Path) -> None:
    up = UpProcess(home)
    up.client.close()
    wait_for(lambda: asyncio.run(_is_told(postgres_of(DataFolder(home)))), "all events are told")
    assert up.end(signal.SIGTERM) == 0
    kept.mkdir()
    for path in home.iterdir():
        if path.name not in LEFT_OUT:
            path.rename(kept / path.name)
    shutil.rmtree(home)


async def _is_told(postgres: Postgres) -> bool:
    """Whether no service has events left that another has not heard."""
    for service in SPEAKERS:
        connection = await asyncpg.connect(postgres.url(f"cinesync_{service}"))
        left = await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        await connection.close()
        if left:
            return False
    return True
