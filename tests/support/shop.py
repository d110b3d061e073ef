"""A whole shop for tests: the processes of `cinesync up`, and a client of its APIs."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import httpx

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.demo import read as read_demo
from cinesync.supervisor.embedded import EmbeddedShop
from cinesync.supervisor.ports import ListenAddress, free_port
from cinesync.supervisor.split import SplitShop
from tests.support.eventually import wait_for

# All buyers of a test come from one address.
ONE_ADDRESS = {
    "HELD_SEATS_ADDRESS_MAX": "100000",
    "HELD_SEATS_ADDRESS_SHOW_MAX": "100000",
    "SIGN_UPS_PER_ADDRESS_MAX": "1000",
    "PAYMENT_FAILURES_PER_ADDRESS": "100000",
}


def command(*arguments: str) -> list[str]:
    """The command line of `cinesync …` in this environment."""
    return [sys.executable, "-m", "cinesync.cli.main", *arguments]


def temporary_folder() -> Path:
    """Not pytest's own: as root, every pytest that starts closes those to PostgreSQL's user."""
    return Path(tempfile.mkdtemp(prefix="cinesync-shop-"))


def copy_files(source: Path, folder: Path) -> None:
    """All that is in `source`, with its owners: PostgreSQL's user among them."""
    subprocess.run(["cp", "--archive", "--reflink=auto", f"{source}/.", str(folder)], check=True)


class RunningShop:
    """Runs a shop in a new folder, which is empty or a copy of `filled`."""

    def __init__(
        self, filled: Path | None = None, *, module: str = "cinesync.cli.main", **environ: str
    ) -> None:
        folder = self._make_folder()
        if filled is not None:
            copy_files(filled, folder)
        self.fault_file = folder / "fault"
        self.address = ListenAddress("127.0.0.1", free_port())
        base = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}  # noqa: TID251
        base |= {"FAULT_FILE": str(self.fault_file), "LOG_LEVEL": "INFO", **ONE_ADDRESS, **environ}
        self.data_folder = DataFolder(folder)
        self.supervisor = self._build(base, module)
        self.url = self.address.url
        self._clients: list[Client] = []
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def _make_folder(self) -> Path:
        return temporary_folder()

    def _build(self, environ: Mapping[str, str], module: str) -> EmbeddedShop | SplitShop:
        stack = EmbeddedShop(self.data_folder, self.address, environ)
        stack.shop.module = module
        return stack

    def start(self) -> Self:
        self._lock = self.data_folder.locked()
        self._lock.__enter__()
        try:
            self.supervisor.start(lambda _: None)
        except BaseException:
            self.supervisor.stop()
            self._lock.__exit__(None, None, None)
            raise  # the folder stays: its logs say why
        self._watcher.start()
        return self

    def halt(self) -> None:
        """Stop all processes; the folder stays."""
        self.supervisor.stopping.set()
        self._watcher.join()
        self.supervisor.stop()
        self._lock.__exit__(None, None, None)

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        if not self.supervisor.stopping.is_set():
            self.halt()
        shutil.rmtree(self.data_folder.path)

    def plan_fault(self, when: str, command: str) -> None:
        """Have the shop kill itself at the next `command`. The supervisor restarts it without a
        pause, as after a single kill."""
        assert isinstance(self.supervisor, EmbeddedShop)
        self.supervisor.shop.restarts = 0
        self.fault_file.write_text(f"{when} {command}")

    def fault_happened(self) -> bool:
        """Whether the planned kill has happened."""
        return not self.fault_file.exists()

    def commands_seen(self) -> list[str]:
        """Names of the commands whose transactions ran, in order of first appearance."""
        return list(dict.fromkeys(self.fault_file.with_suffix(".seen").read_text().split()))

    def forget_commands(self) -> None:
        """Start a new list of commands."""
        self.fault_file.with_suffix(".seen").write_text("")

    def kill(self, part: str) -> None:
        """SIGKILL one process: shop, bank or postgres."""
        pid = getattr(self.supervisor, part).pid
        os.kill(pid, signal.SIGKILL)

    def client(self) -> "Client":
        self._clients.append(Client(self.url, self.trust()))
        return self._clients[-1]

    def member(self, role: str) -> "Client":
        """Signed in as one of the demo's staff."""
        demo = read_demo(self.data_folder.path)
        assert demo is not None
        email = f"{role}@cinesync.example"
        return self.client().sign_in(email, demo.accounts[email])

    def trust(self) -> ssl.SSLContext | None:
        """The TLS context of a client; None: plain HTTP."""
        return None

    def audit(self) -> subprocess.CompletedProcess[str]:
        return self.cinesync("audit", "--data", str(self.data_folder.path))

    def cinesync(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            env=dict(self.supervisor.environ),
        )

    def _watch(self) -> None:
        self.supervisor.watch(lambda _: None)


class Client:
    """A customer's HTTP client, which repeats requests without an answer, with the same keys."""

    def __init__(self, url: str, trust: ssl.SSLContext | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=15, verify=trust or True)
        self.token = ""

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Repeat until there is a response other than 502 and 503."""

        def attempt() -> httpx.Response | None:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            headers |= options.get("headers", {})
            try:
                answer = self._http.request(method, path, **{**options, "headers": headers})
            except httpx.TransportError:
                return None
            return None if answer.status_code in {502, 503} else answer

        return wait_for(attempt, f"{method} {path}", poll_seconds=0.1)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def sign_in_as_guest(self) -> "Client":
        answer = self.call("POST", "/api/auth/guest", json={"email": f"{uuid4()}@example.org"})
        assert answer.is_success, answer.text
        self.token = answer.json()["access_token"]
        return self

    def sign_in(self, email: str, password: str) -> "Client":
        answer = self.call("POST", "/api/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return self

    def sign_up(self) -> "Client":
        """A new account, signed in."""
        email, password = f"{uuid4()}@example.org", str(uuid4())
        body = {"email": email, "password": password, "name": "Somebody"}
        answer = self.call("POST", "/api/auth/register", json=body)
        assert answer.status_code in {201, 409}, answer.text
        return self.sign_in(email, password)

    def a_show(self, number: int = 0, seats_min: int = 0) -> dict[str, Any]:
        """A show far enough ahead to be cancelled, with enough seats."""
        items: list[dict[str, Any]] = self.get("/api/movies/shows?limit=100")["items"]
        return [show for show in items if show["seat_count"] >= seats_min][-1 - number]

    def free_seats(self, show_id: str) -> list[str]:
        seats = self.get(f"/api/booking/shows/{show_id}/seats")["seats"]
        return [s["seat"] for s in seats if s["state"] == "free" and s["kind"] != "companion"]

    def hold(self, show_id: str, seats: Sequence[str]) -> httpx.Response:
        body = {"show_id": show_id, "seats": list(seats)}
        return self.call("POST", "/api/booking/holds", json=body)

    def hold_best(self, show_id: str, count: int) -> dict[str, Any]:
        body = {"show_id": show_id, "best": count}
        answer = self.call("POST", "/api/booking/holds", json=body)
        assert answer.status_code == 201, answer.text
        hold: dict[str, Any] = answer.json()
        return hold

    def pay(self, hold_id: str, token: str = "tok_approve", key: str = "") -> httpx.Response:
        return self.call(
            "POST",
            "/api/payment/payments",
            json={"hold_id": hold_id, "provider": "sandbox", "token": token},
            headers={"Idempotency-Key": key or str(uuid4())},
        )

    def booking(self, booking_id: str) -> dict[str, Any] | None:
        answer = self.call("GET", f"/api/booking/bookings/{booking_id}")
        return answer.json() if answer.status_code == 200 else None

    def confirmed(self, booking_id: str) -> dict[str, Any]:
        """Wait until the payment's event has confirmed the booking."""

        def check() -> dict[str, Any] | None:
            booking = self.booking(booking_id)
            return booking if booking and booking["status"] == "confirmed" else None

        booking: dict[str, Any] = wait_for(check, f"booking {booking_id} confirmed")
        return booking

    def payment(self, payment_id: str) -> dict[str, Any]:
        payment: dict[str, Any] = self.get(f"/api/payment/payments/{payment_id}")
        return payment


class UpProcess:
    """`cinesync up` as an operator starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = Client(self.url)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            command("up", f"--port={self.port}", f"--data={self.folder}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"ready: {self.url}\n"

    def is_running(self) -> bool:
        return self.process.poll() is None

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        with self.process:
            return self.process.wait(60)
