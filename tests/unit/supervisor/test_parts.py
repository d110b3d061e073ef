"""What a data folder must have: nothing that is missing is made anew beside what needs it."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import UpFailed
from cinesync.supervisor.parts import FILE, Parts
from cinesync.validator import provisioning


@pytest.fixture
def home(tmp_path: Path) -> DataFolder:
    """A folder whose first start is over; its databases are a name only."""
    home = DataFolder(tmp_path)
    for name in ("shop", "bank"):
        home.secret(name)
    provisioning.init(tmp_path / "ledger", ["127.0.0.1:1"] * 4)
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("18")
    (tmp_path / "bank.sqlite").touch()
    home.parts.note_ledger()
    home.parts.note_what_is_there()
    return home


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_whole_folder_and_an_empty_one_fit(home: DataFolder, tmp_path: Path) -> None:
    assert home.parts.check() == []
    assert Parts(tmp_path / "nothing").check() == []


@pytest.mark.parametrize("has_notes", [True, False], ids=["noted", "of an earlier version"])
@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("shop.secret", "a new one would not open it"),
        ("bank.secret", "a new one would not open it"),
        ("bank.sqlite", "the sandbox bank's books"),
        ("ledger", "a new ledger would know nothing of what was sold"),
        ("ledger/client-ledger", "a new ledger would know nothing of what was sold"),
    ],
)
def test_what_is_missing_keeps_the_shop_from_starting(
    home: DataFolder, part: str, said: str, *, has_notes: bool
) -> None:
    path = home.folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not has_notes:
        (home.folder / FILE).unlink()
    before = everything(home.folder)
    with pytest.raises(UpFailed, match=said) as failed:
        home.parts.check()
    assert str(path) in str(failed.value)
    assert "cinesync backup restore" in str(failed.value)
    if path.suffix == ".secret":
        with pytest.raises(UpFailed, match=said):
            home.secret(path.stem)
    assert everything(home.folder) == before


def _sell(home: DataFolder) -> None:
    with closing(sqlite3.connect(home.folder / "bank.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE charges (charge_id)")
        connection.execute("INSERT INTO charges VALUES (1)")


@pytest.mark.parametrize("has_notes", [True, False], ids=["noted", "of an earlier version"])
def test_missing_databases_are_not_made_anew_beside_books_that_know_sales(
    home: DataFolder, *, has_notes: bool
) -> None:
    _sell(home)
    shutil.rmtree(home.folder / "postgres" / "data")
    if not has_notes:
        (home.folder / FILE).unlink()
    with pytest.raises(UpFailed, match="the databases of this shop"):
        home.parts.check()


def test_an_empty_secret_is_a_missing_one(home: DataFolder) -> None:
    (home.folder / "shop.secret").write_text("\n")
    with pytest.raises(UpFailed, match="missing or empty"):
        home.parts.check()


def test_a_secret_that_this_version_is_the_first_to_need_is_made(home: DataFolder) -> None:
    assert home.secret("newer") == home.secret("newer") != ""
    (home.folder / "newer.secret").unlink()
    with pytest.raises(UpFailed):
        home.secret("newer")


def test_a_secret_that_a_killed_start_left_empty_is_made(tmp_path: Path) -> None:
    (tmp_path / "shop.secret").touch()
    assert len(DataFolder(tmp_path).secret("shop")) > 32


def _lose(home: DataFolder) -> None:
    (home.folder / "ledger" / "genesis.json").unlink()


def _exchange(home: DataFolder) -> None:
    provisioning.init(home.folder / "other", ["127.0.0.1:1"] * 4)
    shutil.copy(home.folder / "other" / "genesis.json", home.folder / "ledger")


def _wipe(home: DataFolder) -> None:
    for journal in home.folder.glob("ledger/validator-*/journal.sqlite"):
        journal.unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_lose, r"genesis.json is missing, .*`cp .*client-ledger/genesis.json"),
        (_exchange, r"genesis.json is another ledger's .*`cp .*client-ledger/genesis.json"),
        (_wipe, "No validator in .* has its journal"),
    ],
)
def test_a_ledger_that_does_not_fit_stands_still_and_the_shop_sells_on(
    home: DataFolder, harm: Callable[[DataFolder], None], said: str
) -> None:
    harm(home)
    (sentence,) = home.parts.check()
    assert re.search(said, sentence), sentence


def test_the_ledger_services_home_must_be_of_the_ledger_that_was_founded(home: DataFolder) -> None:
    _exchange(home)
    shutil.copy(home.folder / "other" / "genesis.json", home.folder / "ledger" / "client-ledger")
    with pytest.raises(UpFailed, match=r"client-ledger/genesis.json is another ledger's"):
        home.parts.check()


def test_whether_events_go_through_a_broker_is_known_when_the_shop_is_stopped(
    home: DataFolder,
) -> None:
    assert not home.parts.has_broker
    home.parts.note_broker("amqp://user:secret@host/")
    assert home.parts.has_broker
    assert "secret@" not in (home.folder / FILE).read_text()
    home.parts.note_broker("")
    assert not home.parts.has_broker


def test_notes_that_cannot_be_read_are_no_reason_to_begin_anew(home: DataFolder) -> None:
    (home.folder / FILE).write_text("{")
    with pytest.raises(UpFailed, match="cannot be read"):
        home.parts.check()


def test_a_first_start_that_was_killed_begins_again(tmp_path: Path) -> None:
    """Of an earlier version: secrets, homes without a genesis, books without a charge."""
    (tmp_path / "ledger" / "validator-0").mkdir(parents=True)
    (tmp_path / "bank.sqlite").touch()
    (tmp_path / "shop.secret").write_text("secret")
    home = DataFolder(tmp_path)
    assert home.parts.check() == []
    assert home.secret("shop") == "secret"
