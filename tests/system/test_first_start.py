"""A first start that is killed at any step is begun again, and ends in a whole shop."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from cinesync.supervisor.ports import free_port
from tests.support.eventually import wait_for
from tests.support.shop import UpProcess, command, temporary_folder
from tests.system.test_crash import buy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("first start")]

Reached = Callable[[Path], bool]


def _there(name: str) -> Reached:
    return lambda folder: (folder / name).exists()


def _databases(count: int) -> Reached:
    """So many beside the three that a cluster begins with."""
    return lambda folder: len(list((folder / "postgres/data/base").glob("*"))) >= 3 + count


def _files(count: int) -> Reached:
    """Tables and indexes: migrations have come so far in so many databases."""
    return lambda folder: len(list((folder / "postgres/data/base").glob("*/[0-9]*"))) >= count


def _megabytes(size: int) -> Reached:
    """In all tables: the demo's films and shows are on their way."""

    def check(folder: Path) -> bool:
        total = 0
        for file in (folder / "postgres/data/base").glob("*/[0-9]*"):
            with suppress(OSError):
                total += file.stat().st_size
        return total >= size * 2**20

    return check


def _noted(part: str) -> Reached:
    def check(folder: Path) -> bool:
        notes = folder / "parts.json"
        return notes.exists() and f'"{part}"' in notes.read_text()

    return check


# In the order in which a start reaches them.
STEPS: list[tuple[str, Reached]] = [
    ("a secret", _there("bank.secret")),
    ("the ledger is begun", _there(".ledger.unfinished/validator-1")),
    ("the ledger is founded", _there("ledger/genesis.json")),
    ("the ledger is noted", _noted("ledger")),
    ("a cluster is begun", _there("postgres/.data.unfinished/PG_VERSION")),
    ("a cluster is filled", _there("postgres/.data.unfinished/base/5")),
    ("a cluster is there", _there("postgres/data")),
    ("the bank's books are begun", _there("bank.sqlite")),
    ("a validator's chain is begun", _there("ledger/validator-3/chain.sqlite")),
    ("a database is made", _databases(1)),
    ("three databases are made", _databases(3)),
    ("all databases are made", _databases(5)),
    ("the first tables are made", _files(2400)),
    ("more tables are made", _files(2650)),
    ("the demo is begun", _megabytes(63)),
    ("the demo is half filled", _megabytes(67)),
]


def _kill_tree(root: int) -> None:
    """SIGKILL, everything at one moment: who is stopped starts nobody any more."""
    pids = [root]
    os.kill(root, signal.SIGSTOP)
    for pid in pids:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    child = int(stat.parent.name)
                    pids.append(child)
                    os.kill(child, signal.SIGSTOP)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids[1:]), "all ended")


def _start_until(folder: Path, steps: Sequence[Reached]) -> bool:
    """Whether it was killed before it was ready: at the first step, or at a later one when the
    first was over between two looks."""
    log = (folder.parent / f"{folder.name}.log").open("ab")
    with (
        log,
        subprocess.Popen(
            command("up", f"--port={free_port()}", f"--data={folder}"),
            stdout=subprocess.PIPE,
            stderr=log,
        ) as up,
    ):
        assert up.stdout is not None
        os.set_blocking(up.stdout.fileno(), False)
        while True:
            assert up.poll() is None, (folder.parent / f"{folder.name}.log").read_text()
            if any(reached(folder) for reached in steps):
                break
            if up.stdout.read():
                _kill_tree(up.pid)
                return False
        _kill_tree(up.pid)
    return True


@pytest.fixture
def folder() -> Iterator[Path]:
    made = temporary_folder()
    yield made
    shutil.rmtree(made)
    (made.parent / f"{made.name}.log").unlink(missing_ok=True)


def test_a_first_start_may_be_killed_at_each_step(folder: Path) -> None:
    killed = []
    for at, (name, _) in enumerate(STEPS):
        if _start_until(folder, [reached for _, reached in STEPS[at:]]):
            killed.append(name)
    assert len(killed) >= len(STEPS) - 2, "the last ones depend on how quick the machine is"
    up = UpProcess(folder)
    try:
        client = up.client.sign_up()
        buy(client, client.a_show()["show_id"])

        def is_whole() -> bool:
            audit = subprocess.run(
                command("audit", "--settled", f"--data={folder}"), check=False, capture_output=True
            )
            return audit.returncode == 0

        wait_for(is_whole, "audited")
    finally:
        up.client.close()
        up.end(signal.SIGTERM)
    assert not list(folder.rglob("*.unfinished"))
    assert not list(folder.rglob("*.set-aside-*"))
