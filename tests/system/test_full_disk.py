"""A disk that is full for a while: nobody pays for what cannot be booked, and all comes back."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import httpx
import pytest

from tests.support.eventually import wait_for
from tests.support.needs import need
from tests.support.shop import Client, RunningShop, temporary_folder

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

DISK_MB = 900
FULL_SECONDS = 25.0
PAUSE_SECONDS = 0.2


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own."""
    need("root, to mount a small disk", present=os.geteuid() == 0)
    folder = temporary_folder()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    need("the right to mount a small disk", present=done.returncode == 0)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(folder: Path) -> Path:
    """To the last byte."""
    stuffing = folder / "stuffing"
    with stuffing.open("wb") as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    os.write(file.fileno(), b"\0" * size)
            except OSError:
                continue
    return stuffing


class Cramped(RunningShop):
    """A shop on a small disk."""

    disk: Path

    def _make_folder(self) -> Path:
        return self.disk


class Buyer(threading.Thread):
    """Buys seat after seat, whatever the shop says, until told to stop."""

    def __init__(self, shop: RunningShop, show_id: str) -> None:
        super().__init__(daemon=True)
        self.captured: list[tuple[str, str]] = []
        self.refused = 0
        self._url = shop.url
        self._show_id = show_id
        self.over = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=40) as http:
            while not self.over.wait(PAUSE_SECONDS):
                try:
                    self._buy(http)
                except httpx.TransportError:
                    self.refused += 1

    def _buy(self, http: httpx.Client) -> None:
        guest = http.post("/api/auth/guest", json={"email": f"{uuid4()}@example.org"})
        if guest.status_code >= 400:
            self.refused += 1
            return
        headers = {"Authorization": f"Bearer {guest.json()['access_token']}"}
        body = {"show_id": self._show_id, "best": 1}
        hold = http.post("/api/booking/holds", json=body, headers=headers)
        if hold.status_code != 201:
            self.refused += 1
            return
        hold_id = hold.json()["hold_id"]
        paid = http.post(
            "/api/payment/payments",
            json={"hold_id": hold_id, "provider": "sandbox", "token": "tok_approve"},
            headers={**headers, "Idempotency-Key": str(uuid4())},
        )
        if paid.is_success and paid.json()["status"] == "success":
            self.captured.append((hold_id, headers["Authorization"]))
        elif not paid.is_success:
            self.refused += 1


def test_a_shop_whose_disk_was_full_confirms_all_that_was_paid(
    filled: Path, small_disk: Path
) -> None:
    Cramped.disk = small_disk
    shop = Cramped(filled, DISK_LOW_MB="60", DISK_MIN_MB="30").start()
    try:
        client = shop.client()
        buyer = Buyer(shop, client.a_show(seats_min=60)["show_id"])
        buyer.start()
        wait_for(lambda: len(buyer.captured) > 3, "sales before")
        stuffing = fill(small_disk)
        full_until = time.monotonic() + FULL_SECONDS
        wait_for(lambda: _says(shop, 503), "not ready")
        refused = buyer.refused
        wait_for(lambda: buyer.refused > refused, "refusals")
        wait_for(lambda: time.monotonic() > full_until, "it has been full for long")
        stuffing.unlink()
        wait_for(lambda: _says(shop, 200), "ready again")
        before = len(buyer.captured)
        wait_for(lambda: len(buyer.captured) > before + 3, "sales after")
        buyer.over.set()
        buyer.join()
        _all_confirmed(client, buyer)
        # Validators end when their disk is full; they are started again and catch up.
        wait_for(lambda: client.get("/api/ledger/status")["waiting"] == 0, "nothing waits")
        audit = shop.audit()
        assert audit.returncode == 0, audit.stdout
        assert not list(shop.data_folder.path.rglob("*.damaged"))
    finally:
        for one in shop._clients:
            one.close()
        shop.halt()


def _says(shop: RunningShop, status: int) -> bool:
    try:
        return httpx.get(f"{shop.url}/health/ready", timeout=20).status_code == status
    except httpx.TransportError:
        return False


def _all_confirmed(client: Client, buyer: Buyer) -> None:
    for hold_id, bearer in buyer.captured:

        def is_confirmed(hold_id: str = hold_id, bearer: str = bearer) -> bool:
            path = f"/api/booking/bookings/{hold_id}"
            answer = client.call("GET", path, headers={"Authorization": bearer})
            return answer.status_code == 200 and answer.json()["status"] == "confirmed"

        wait_for(is_confirmed, f"booking {hold_id} confirmed")
