"""A part of a data folder that is missing: nothing is deleted, nothing is made anew."""

import hashlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinesync.supervisor.ports import free_port
from tests.support.shop import UpProcess, command, copy_files, temporary_folder
from tests.system.test_crash import buy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lost parts")]


@pytest.fixture(scope="module")
def sold(filled: Path) -> Iterator[UpProcess]:
    """A shop that has sold a seat; it is stopped."""
    folder = temporary_folder()
    copy_files(filled, folder)
    up = UpProcess(folder)
    client = up.client.sign_up()
    buy(client, client.a_show()["show_id"])
    assert _audit(folder, "--settled").returncode == 0
    assert up.end(signal.SIGTERM) == 0
    yield up
    up.client.close()
    if up.is_running():
        up.end(signal.SIGTERM)
    shutil.rmtree(folder)


def _audit(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return _run("audit", f"--data={folder}", *options)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True)


def _digests(folder: Path) -> dict[str, str]:
    """Of the validators' and the bank's files, of keys and secrets."""
    files = [*folder.glob("*.secret"), *folder.glob("*.sqlite"), *folder.glob("ledger/**/*.sqlite")]
    files += [*folder.glob("ledger/**/*.pem"), *folder.glob("ledger/**/genesis.json")]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def test_without_its_genesis_the_ledger_stands_still_and_the_shop_sells_on(
    sold: UpProcess,
) -> None:
    genesis, kept = sold.folder / "ledger" / "genesis.json", sold.folder / "genesis.kept"
    genesis.rename(kept)
    ledger_before = {k: v for k, v in _digests(sold.folder).items() if "/ledger/" in k}
    sold.start()
    client = sold.client.sign_up()
    buy(client, client.a_show()["show_id"])
    audit = _audit(sold.folder)
    assert sold.end(signal.SIGTERM) == 0
    assert audit.returncode == 3, audit.stdout + audit.stderr
    assert "I4 ledger: NOT MADE" in audit.stdout
    assert "genesis.json" in audit.stdout
    after = {k: v for k, v in _digests(sold.folder).items() if "/ledger/" in k}
    assert after == ledger_before
    kept.rename(genesis)
    sold.start()
    settled = _audit(sold.folder, "--settled")
    assert sold.end(signal.SIGTERM) == 0
    assert settled.returncode == 0, settled.stdout + settled.stderr


@pytest.mark.parametrize(
    "part",
    [
        "shop.secret",
        "bank.secret",
        "bank.sqlite",
        "postgres/data",
        "ledger",
        "ledger/client-ledger",
    ],
)
def test_a_shop_does_not_start_without_what_it_cannot_sell_without(
    sold: UpProcess, part: str
) -> None:
    path, kept = sold.folder / part, sold.folder / "kept"
    path.rename(kept)
    try:
        before = _digests(sold.folder)
        up = _run("up", f"--port={free_port()}", f"--data={sold.folder}")
        audit = _audit(sold.folder)
        after, is_there = _digests(sold.folder), path.exists()
    finally:
        kept.rename(path)
    assert (up.returncode, audit.returncode) == (2, 2), up.stderr + audit.stderr
    for refused in (up, audit):
        (line,) = refused.stderr.strip().splitlines()
        assert f"{path}" in line
        assert "is missing" in line
    assert (after, is_there) == (before, False)
