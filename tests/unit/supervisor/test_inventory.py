"""What a data folder must have: nothing that is missing is made anew beside what needs it."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.inventory import FILE, Inventory
from cinesync.validator import provisioning


@pytest.fixture
def data_folder(tmp_path: Path) -> DataFolder:
    """A folder whose first start is over; its databases are a name only."""
    data_folder = DataFolder(tmp_path)
    for name in ("shop", "bank"):
        data_folder.secret(name)
    provisioning.init(tmp_path / "ledger", ["127.0.0.1:1"] * 4)
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("18")
    (tmp_path / "bank.sqlite").touch()
    data_folder.inventory.record_ledger()
    data_folder.inventory.record_existing()
    return data_folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_whole_folder_and_an_empty_one_fit(data_folder: DataFolder, tmp_path: Path) -> None:
    assert data_folder.inventory.check() == []
    assert Inventory(tmp_path / "nothing").check() == []


@pytest.mark.parametrize("has_notes", [True, False], ids=["recorded", "of an earlier version"])
@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("shop.secret", "a new one would not fit"),
        ("bank.secret", "a new one would not fit"),
        ("bank.sqlite", "the sandbox bank's books"),
        ("ledger", "a new ledger would not know what was sold"),
        ("ledger/client-ledger", "a new ledger would not know what was sold"),
    ],
)
def test_a_missing_part_prevents_the_start(
    data_folder: DataFolder, part: str, said: str, *, has_notes: bool
) -> None:
    path = data_folder.path / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not has_notes:
        (data_folder.path / FILE).unlink()
    before = everything(data_folder.path)
    with pytest.raises(StartFailed, match=said) as failed:
        data_folder.inventory.check()
    assert str(path) in str(failed.value)
    assert "cinesync backup restore" in str(failed.value)
    if path.suffix == ".secret":
        with pytest.raises(StartFailed, match=said):
            data_folder.secret(path.stem)
    assert everything(data_folder.path) == before


def _sell(data_folder: DataFolder) -> None:
    with closing(sqlite3.connect(data_folder.path / "bank.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE charges (charge_id)")
        connection.execute("INSERT INTO charges VALUES (1)")


@pytest.mark.parametrize("has_notes", [True, False], ids=["recorded", "of an earlier version"])
def test_missing_databases_are_not_recreated_beside_a_bank_with_sales(
    data_folder: DataFolder, *, has_notes: bool
) -> None:
    _sell(data_folder)
    shutil.rmtree(data_folder.path / "postgres" / "data")
    if not has_notes:
        (data_folder.path / FILE).unlink()
    with pytest.raises(StartFailed, match="the databases of this shop"):
        data_folder.inventory.check()


def test_an_empty_secret_is_a_missing_one(data_folder: DataFolder) -> None:
    (data_folder.path / "shop.secret").write_text("\n")
    with pytest.raises(StartFailed, match="missing or empty"):
        data_folder.inventory.check()


def test_a_secret_that_this_version_is_the_first_to_need_is_made(data_folder: DataFolder) -> None:
    assert data_folder.secret("newer") == data_folder.secret("newer") != ""
    (data_folder.path / "newer.secret").unlink()
    with pytest.raises(StartFailed):
        data_folder.secret("newer")


def test_a_secret_that_a_killed_start_left_empty_is_made(tmp_path: Path) -> None:
    (tmp_path / "shop.secret").touch()
    assert len(DataFolder(tmp_path).secret("shop")) > 32


def _lose(data_folder: DataFolder) -> None:
    (data_folder.path / "ledger" / "genesis.json").unlink()


def _exchange(data_folder: DataFolder) -> None:
    provisioning.init(data_folder.path / "other", ["127.0.0.1:1"] * 4)
    shutil.copy(data_folder.path / "other" / "genesis.json", data_folder.path / "ledger")


def _wipe(data_folder: DataFolder) -> None:
    for journal in data_folder.path.glob("ledger/validator-*/journal.sqlite"):
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
    data_folder: DataFolder, harm: Callable[[DataFolder], None], said: str
) -> None:
    harm(data_folder)
    (sentence,) = data_folder.inventory.check()
    assert re.search(said, sentence), sentence


def test_the_ledger_services_home_must_be_of_the_ledger_that_was_founded(
    data_folder: DataFolder,
) -> None:
    _exchange(data_folder)
    shutil.copy(
        data_folder.path / "other" / "genesis.json", data_folder.path / "ledger" / "client-ledger"
    )
    with pytest.raises(StartFailed, match=r"client-ledger/genesis.json is another ledger's"):
        data_folder.inventory.check()


def test_whether_events_go_through_a_broker_is_known_when_the_shop_is_stopped(
    data_folder: DataFolder,
) -> None:
    assert not data_folder.inventory.has_broker
    data_folder.inventory.record_broker("amqp://user:secret@host/")
    assert data_folder.inventory.has_broker
    assert "secret@" not in (data_folder.path / FILE).read_text()
    data_folder.inventory.record_broker("")
    assert not data_folder.inventory.has_broker


def test_an_unreadable_inventory_prevents_the_start(data_folder: DataFolder) -> None:
    (data_folder.path / FILE).write_text("{")
    with pytest.raises(StartFailed, match="cannot be read"):
        data_folder.inventory.check()


def test_a_first_start_that_was_killed_begins_again(tmp_path: Path) -> None:
    """Of an earlier version: secrets, homes without a genesis, books without a charge."""
    (tmp_path / "ledger" / "validator-0").mkdir(parents=True)
    (tmp_path / "bank.sqlite").touch()
    (tmp_path / "shop.secret").write_text("secret")
    data_folder = DataFolder(tmp_path)
    assert data_folder.inventory.check() == []
    assert data_folder.secret("shop") == "secret"
