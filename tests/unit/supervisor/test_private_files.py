"""Nobody but its owner reads a shop's files, whatever an earlier version let them have."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.ports import free_port
from cinesync.supervisor.private_files import private
from tests.support.eventually import wait_for


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """A folder as earlier versions left it."""
    folder = tmp_path / "shop"
    for name in ("logs", "ledger/validator-1", "postgres/data/base", "gateway"):
        (folder / name).mkdir(parents=True)
    for name in ("bank.sqlite", "bank.sqlite-wal", "ledger/validator-1/chain.sqlite", "run.json"):
        (folder / name).touch()
    (folder / "postgres" / "postgres.log").touch()
    (folder / "postgres" / "data" / "PG_VERSION").touch()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "link").symlink_to("/etc/hostname")
    return folder


def test_an_existing_folder_is_mended_at_start(open_to_all: Path) -> None:
    before = mode(Path("/etc/hostname"))
    with DataFolder(open_to_all).locked():
        cluster = open_to_all / "postgres" / "data"
        for path in (open_to_all, *open_to_all.rglob("*")):
            if path.is_symlink() or path == cluster or cluster in path.parents:
                continue  # PostgreSQL itself refuses to run on one that others may read
            assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert mode(Path("/etc/hostname")) == before, "where a link leads is not ours"


def test_new_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    os.umask(before)
    data_folder = DataFolder(tmp_path / "shop")
    with data_folder.locked():
        data_folder.write_run_file({"url": "x"})
        (data_folder.path / "books").mkdir()
        assert mode(data_folder.run_file) == 0o600
        assert mode(data_folder.path / "books") == 0o700
    after = os.umask(before)
    assert after == before, "and nothing else of this process is changed"


def test_without_that_others_would_read_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "open").touch()
        with private():
            (tmp_path / "closed").touch()
    finally:
        os.umask(before)
    assert (mode(tmp_path / "open"), mode(tmp_path / "closed")) == (0o644, 0o600)


def test_a_manually_started_process_creates_files_for_its_owner_only(tmp_path: Path) -> None:
    books = tmp_path / "books.sqlite"
    with (tmp_path / "bank.log").open("wb") as log:
        bank = subprocess.Popen(
            [sys.executable, "-m", "cinesync.cli.main", "bank", f"--port={free_port()}",
             f"--data={books}", "--webhook-url=http://127.0.0.1:1/"],
            env={**os.environ, "BANK_SECRET": "a secret of tests that is long enough"},  # noqa: TID251
            umask=0o022,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )  # fmt: skip
    try:

        def has_started() -> bool:
            assert bank.poll() is None, (tmp_path / "bank.log").read_text()
            return books.exists()

        wait_for(has_started, "the bank has a file")
        assert {mode(path) for path in tmp_path.glob("books.sqlite*")} == {0o600}
    finally:
        bank.kill()
        bank.wait(60)
