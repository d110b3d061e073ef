"""A backup under load, restored into an empty folder: audited, sold on, nothing contradicted."""

import itertools
import json
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import wait_for
from tests.support.shop import Client, UpProcess, command, copy_files, temporary_folder
from tests.system.test_crash import buy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backup")]

BUYERS = 3
SEATS_PER_SHOW = 20  # fewer than the smallest auditorium has


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True)


def receipt_of(client: Client, booking_id: str) -> bytes:
    """Of the entry that confirms it, once the ledger has it."""

    def fetch() -> bytes | None:
        booking = client.get(f"/api/booking/bookings/{booking_id}")
        if booking.get("receipt") is None:
            return None
        answer = client.call("GET", f"/api/ledger/receipts/{booking['receipt']['event_id']}")
        return answer.content if answer.status_code == 200 else None

    found: bytes = wait_for(fetch, f"receipt of {booking_id}")
    return found


@dataclass
class Rush:
    """Customers who buy one seat after the other until the end, from show to show."""

    up: UpProcess
    sold: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Rush":
        self._threads = [threading.Thread(target=self._buy, args=(n,)) for n in range(BUYERS)]
        for thread in self._threads:
            thread.start()
        wait_for(lambda: len(self.sold) >= BUYERS, "all are buying")
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _buy(self, number: int) -> None:
        client = Client(self.up.url).sign_up()
        for show in itertools.count(number, BUYERS):
            show_id = client.a_show(show)["show_id"]
            for _ in range(SEATS_PER_SHOW):
                if self.over.is_set():
                    client.close()
                    return
                self.sold.append(buy(client, show_id))


@dataclass
class Restored:
    """Two shops: the one that went on after the backup, and the one that began from it."""

    original: UpProcess
    backup: Path
    again: UpProcess
    before: dict[str, bytes]
    after: dict[str, bytes]
    said: str

    @property
    def genesis(self) -> Path:
        return self.again.folder / "ledger" / "genesis.json"

    @property
    def earlier(self) -> Path:
        return self.again.folder / "ledger-earlier-1"


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Path, Path, Path]]:
    made = [temporary_folder() for _ in range(3)]
    yield made[0], made[1], made[2]
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def restored(filled: Path, places: tuple[Path, Path, Path]) -> Iterator[Restored]:
    folder, backup, target = places
    copy_files(filled, folder)
    with ExitStack() as stack:
        original = _run_shop(folder, stack)
        client = original.client.sign_up()
        first = [buy(client, client.a_show(5)["show_id"]) for _ in range(2)]
        before = {booking_id: receipt_of(client, booking_id) for booking_id in first}
        with Rush(original) as rush:
            made = run("backup", "create", str(backup), f"--data={folder}")
            wait_for(lambda: len(rush.sold) > 3 * BUYERS, "it sold on")
        assert made.returncode == 0, made.stderr
        later = [buy(client, client.a_show(5)["show_id"]) for _ in range(2)]
        after = {booking_id: receipt_of(client, booking_id) for booking_id in later}
        assert original.end(signal.SIGTERM) == 0
        done = run("backup", "restore", str(backup), f"--data={target}")
        assert done.returncode == 0, done.stderr
        yield Restored(original, backup, _run_shop(target, stack), before, after, done.stdout)


def _run_shop(folder: Path, stack: ExitStack) -> UpProcess:
    up = UpProcess(folder)
    stack.callback(up.client.close)
    stack.callback(lambda: up.is_running() and up.end(signal.SIGTERM))
    return up


def _verify(receipt: bytes, genesis: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "receipt.json"
    file.write_bytes(receipt)
    return run("verify", str(file), f"--genesis={genesis}")


def test_the_restored_shop_is_audited_and_sells_on(restored: Restored) -> None:
    def audited() -> str:
        audit = run("audit", "--settled", f"--data={restored.again.folder}")
        assert audit.returncode != 1, audit.stdout
        return audit.stdout if audit.returncode == 0 else ""

    wait_for(audited, "every check is passed")
    client = restored.again.client.sign_up()
    booking_id = buy(client, client.a_show(5)["show_id"])
    receipt_of(client, booking_id)
    assert "every promise holds" in wait_for(audited, "every check is passed, once more")


def test_old_receipts_still_verify_and_new_ones_contradict_none(
    restored: Restored, tmp_path: Path
) -> None:
    """Also those that the original shop gave after the backup, at heights that come again."""
    client = restored.again.client.sign_up()
    booking_id = buy(client, client.a_show(5)["show_id"])
    new = receipt_of(client, booking_id)
    assert _verify(new, restored.genesis, tmp_path).returncode == 0
    for at, old in enumerate([*restored.before.values(), *restored.after.values()]):
        good = _verify(old, restored.earlier / "genesis.json", tmp_path)
        assert good.returncode == 0, good.stdout + good.stderr
        assert _verify(old, restored.genesis, tmp_path).returncode == 1, "another ledger's"
        one, other = tmp_path / f"old-{at}.json", tmp_path / "new.json"
        one.write_bytes(old)
        other.write_bytes(new)
        assert "FRAUD" not in run("verify", str(one), str(other)).stdout


def test_the_new_ledger_names_the_old_ones_head_and_shares_no_key(restored: Restored) -> None:
    manifest = json.loads((restored.backup / "manifest.json").read_text())
    new, old = (json.loads((at / "genesis.json").read_text()) for at in (
        restored.again.folder / "ledger", restored.earlier
    ))  # fmt: skip
    assert new["name"] == f"cinesync after {manifest['head'][:32]}"
    keys = [{v["public_key"] for v in [*one["validators"], *one["clients"]]} for one in (new, old)]
    assert not keys[0] & keys[1]
    assert not list(restored.backup.rglob("key*.pem"))
    assert not list(restored.earlier.rglob("*.pem"))


def test_what_was_sold_before_the_point_has_a_receipt_in_the_new_ledger_too(
    restored: Restored, tmp_path: Path
) -> None:
    client = restored.again.client
    for old in restored.before.values():
        entry = json.loads(old)["entry"]

        def fetch(event_id: str = entry["event_id"]) -> bytes | None:
            answer = client.call("GET", f"/api/ledger/receipts/{event_id}")
            return answer.content if answer.status_code == 200 else None

        new = wait_for(fetch, "a receipt of the new ledger")
        assert json.loads(new)["entry"] == entry
        assert _verify(new, restored.genesis, tmp_path).returncode == 0


def test_the_proofs_of_the_earlier_ledger_are_archived(restored: Restored) -> None:
    with closing(sqlite3.connect(restored.earlier / "certificates.sqlite")) as kept:
        (count,) = kept.execute("SELECT count(*) FROM certificates").fetchone()
        (header, certificate) = kept.execute(
            "SELECT header, certificate FROM certificates ORDER BY height LIMIT 1"
        ).fetchone()
    assert count > 0
    assert json.loads(header)["height"] >= 1
    assert json.loads(certificate)


def test_a_backup_and_a_restored_folder_are_readable_by_their_owner_only(
    restored: Restored,
) -> None:
    for path in [restored.backup, *restored.backup.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    kept = [*restored.again.folder.glob("*.secret"), *restored.earlier.rglob("*")]
    for path in kept:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_good_backup_is_verified_and_every_harm_named(restored: Restored, tmp_path: Path) -> None:
    assert run("backup", "verify", str(restored.backup)).stdout.startswith("good: ")
    harmed = tmp_path / "harmed"

    def harm(name: str, change: Any) -> str:
        shutil.copytree(restored.backup, harmed)
        change(harmed / name)
        verified = run("backup", "verify", str(harmed))
        refused = run("backup", "restore", str(harmed), f"--data={tmp_path / 'new'}")
        shutil.rmtree(harmed)
        assert (verified.returncode, refused.returncode) == (1, 2), verified.stderr
        assert "is damaged" in " ".join(refused.stderr.split())
        assert not list(tmp_path.glob("*new*"))
        return verified.stdout

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    assert "ledger/chain.sqlite was altered" in harm("ledger/chain.sqlite", flip)
    assert "shop.secret is missing" in harm("shop.secret", Path.unlink)
    assert "postgres/data/PG_VERSION has 0 bytes" in harm(
        "postgres/data/PG_VERSION", lambda path: path.write_bytes(b"")
    )
    assert "more is not in the manifest" in harm("more", Path.touch)


@pytest.mark.parametrize("verb", ["create", "restore"])
def test_nothing_is_ever_written_over(restored: Restored, tmp_path: Path, verb: str) -> None:
    (tmp_path / "kept").write_text("mine")
    source = restored.again.folder if verb == "create" else tmp_path
    to = tmp_path if verb == "create" else restored.backup
    refused = run("backup", verb, str(to), f"--data={source}")
    assert refused.returncode == 2
    assert "is not empty" in " ".join(refused.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_is_no_backup_is_refused_in_one_line(tmp_path: Path) -> None:
    for arguments in (
        ("verify", str(tmp_path)),
        ("restore", str(tmp_path / "nowhere"), f"--data={tmp_path / 'new'}"),
        ("create", str(tmp_path / "new"), f"--data={tmp_path / 'nowhere'}"),
    ):
        refused = run("backup", *arguments)
        assert refused.returncode == 2
        assert len(refused.stderr.strip().splitlines()) == 1
