"""`cinesync up`: PostgreSQL, a bank, four validators and the shop, started and watched together.

Imports little on purpose: the children load the services while PostgreSQL starts.
"""

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cinesync.chassis.postgres import PR_SET_PDEATHSIG, Postgres
from cinesync.pulse import felt

READY_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 30.0
WATCH_SECONDS = 0.2
RESTART_PAUSE_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS = 30.0
LOG_BYTES_MAX = 20_000_000
VALIDATORS = 4  # the fewest that outlive one liar or one crash: n = 3f + 1
OWN_URLS = ("API_URL", "AUTH_URL", "MOVIES_URL", "BOOKING_URL", "PAYMENT_URL", "SHOP_URL")
READY_LINE = "cinesync-ready"
LIVE_PATH = "/health/live"


class UpFailed(RuntimeError):
    """The shop cannot be started; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the shop listens."""

    host: str
    port: int

    @property
    def reachable(self) -> str:
        """The host that a client on this machine connects to."""
        return "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104

    @property
    def url(self) -> str:
        """As a browser on this machine writes it."""
        host = f"[{self.reachable}]" if ":" in self.reachable else self.reachable
        return f"http://{host}:{self.port}"


class Home:
    """A data folder: one shop's databases, books, logs and secrets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self.logs = self.folder / "logs"
        self.run_file = self.folder / "run.json"

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keep others out while we run. Raises UpFailed when somebody is in already."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise UpFailed(f"{self.folder} cannot be used: {error.strerror}.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UpFailed(
                    f"A shop already runs on {self.folder}"
                    f" ({self.running().get('url', 'starting')}); stop it,"
                    " or choose another folder with --data."
                ) from error
            self.run_file.unlink(missing_ok=True)  # of one that was killed
            try:
                yield
            finally:
                self.run_file.unlink(missing_ok=True)

    def secret(self, name: str) -> str:
        """A random secret made once and kept, readable by its owner only."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
        return path.read_text()

    def note_running(self, facts: Mapping[str, object]) -> None:
        """Tell other commands where the running shop is."""
        self.run_file.write_text(json.dumps(facts))

    def running(self) -> dict[str, str]:
        """What the running shop noted; empty when none runs, whatever one that was killed left."""
        if not self._is_owned():
            return {}
        try:
            facts: dict[str, str] = json.loads(self.run_file.read_text())
        except (OSError, ValueError):
            return {}
        return facts

    def _is_owned(self) -> bool:
        try:
            with (self.folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # nobody was ever here
        return False

    def log(self, name: str) -> IO[bytes]:
        """Append to a log; the one before is kept when it has grown too long."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.rename(path.with_suffix(".log.1"))
        return path.open("ab")


@dataclass
class Child:
    """A process we keep alive: restarted when it ends, dead when we are."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    home: Home
    module: str = "cinesync.cli"
    live_url: str = ""
    restarts: int = 0
    started_at: float = 0.0
    ready: threading.Event = field(default_factory=threading.Event)
    _process: subprocess.Popen[bytes] | None = None
    _due_at: float | None = None

    def start(self) -> None:
        """Begin, or begin again."""
        self.started_at = time.monotonic()
        self.ready.clear()
        with self.home.log(self.name) as log:
            self._process = subprocess.Popen(  # noqa: S603 our own command
                self.command(),
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
                preexec_fn=_die_with_parent,  # noqa: PLW1509 Python code between fork and exec is this line
            )
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def command(self) -> list[str]:
        """What is run."""
        return [sys.executable, "-m", self.module, *self.arguments]

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None, "started"
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it must be restarted."""
        return self._process is not None and self._process.poll() is not None

    def is_serving(self) -> bool:
        """Whether it has been ready, and has not ended."""
        return self.ready.is_set() and not self.has_ended()

    def revive(self) -> bool:
        """Restart what has ended, after a pause that grows while it keeps ending early.

        False: it is not time yet.
        """
        now = time.monotonic()
        if self._due_at is None:
            if now - self.started_at > STEADY_SECONDS:
                self.restarts = 0
            pauses = RESTART_PAUSE_SECONDS
            self._due_at = now + pauses[min(self.restarts, len(pauses) - 1)]
        if now < self._due_at:
            return False
        self._due_at = None
        self.restarts += 1
        self.start()
        return True

    def drain(self) -> None:
        """SIGTERM: it serves for its DRAIN_SECONDS more, and ends."""
        assert self._process is not None, "started"
        self._process.terminate()

    def stop(self) -> None:
        """SIGINT: at once; and SIGKILL for one that does not listen."""
        self.end()
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """SIGKILL, for one that hangs."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """SIGINT, without waiting."""
        if self._process is not None and not self.has_ended():
            self._process.send_signal(signal.SIGINT)

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                if line.strip().decode() == READY_LINE:
                    self.ready.set()


class Groundwork:
    """What every shop on one machine stands on: PostgreSQL, the bank and the validators.

    `url` is where the shop's own parts reach each other.
    """

    def __init__(self, home: Home, url: str, environ: Mapping[str, str]) -> None:
        self.home = home
        self.postgres = Postgres(home.folder / "postgres")
        self.ledger = home.folder / "ledger"
        numbers = _validators_in(self.ledger) or range(VALIDATORS)
        bank_port, *validator_ports = free_ports(1 + len(numbers))
        self._validator_ports = dict(zip(numbers, validator_ports, strict=True))
        bank_secret = home.secret("bank")
        self.environ = {
            **environ,
            "SECRET_KEY": home.secret("shop"),
            "DATABASE_URL": self.postgres.url(),
            "BANK_URL": f"http://127.0.0.1:{bank_port}",
            "BANK_SECRET": bank_secret,
            "LEDGER_HOME": str(self.ledger / "client-ledger"),
            **dict.fromkeys(OWN_URLS, url),
        }
        self.bank = Child(
            "bank",
            [
                "bank",
                f"--port={bank_port}",
                f"--data={home.folder / 'bank.sqlite'}",
                f"--webhook-url={url}/api/payment/webhooks/sandbox",
            ],
            self.environ,
            home,
        )
        self.validators = [
            Child(name, ["validator", f"--home={self.ledger / name}"], self.environ, home)
            for name in (f"validator-{number}" for number in numbers)
        ]
        self.stopping = threading.Event()

    def start_validators(self) -> None:
        """Found the ledger the first time, and tell its homes today's ports."""
        from cinesync.ledger import founding, home  # noqa: PLC0415 loads while the bank does

        addresses = {at: f"127.0.0.1:{port}" for at, port in self._validator_ports.items()}
        if (self.ledger / founding.GENESIS_FILE).exists():
            self._check_ledger()
            known = home.read_addresses(founding.client_home(self.ledger))
            founding.place(self.ledger, known | addresses)
        else:
            shutil.rmtree(self.ledger, ignore_errors=True)  # begun, but never founded
            founding.init(self.ledger, list(addresses.values()))
        for validator in self.validators:
            validator.start()

    def _check_ledger(self) -> None:
        """Raises UpFailed before anything of another version's ledger is touched."""
        from cinesync.ledger import chain, founding  # noqa: PLC0415 see start_validators

        try:
            for file in sorted(self.ledger.glob(f"validator-*/{founding.CHAIN_FILE}")):
                chain.check_file(file)
        except chain.OldFormat as error:
            raise UpFailed(str(error)) from error

    def start_books(self) -> None:
        """Only what holds data, for commands that look into a stopped shop."""
        self.bank.start()
        self.postgres.start()

    @property
    def children(self) -> Sequence[Child]:
        """What is to run, beside the groundwork."""
        return ()

    def watch(self, say: Callable[[str], None]) -> None:
        """Until `stopping` is set: start again what ends or hangs, and do what is asked."""
        with felt(lambda: self.children, say):
            while not self.stopping.wait(WATCH_SECONDS):
                self._revive(say)
                self.tick()

    def tick(self) -> None:
        """What else is to be done now and then; it never waits for long."""

    def _revive(self, say: Callable[[str], None]) -> None:
        if not self.postgres.is_running():
            say("PostgreSQL ended; starting it again")
            self.postgres.start()
        for child in (self.bank, *self.validators, *self.children):
            if not self.stopping.is_set() and child.has_ended() and child.revive():
                say(f"the {child.name} ended; it was started again")

    def stop(self) -> None:
        """In the order in which they need each other."""
        for child in (*self.validators, self.bank):
            child.stop()
        self.postgres.stop()


class Stack(Groundwork):
    """Everything a shop needs on one machine, its services in one process."""

    def __init__(self, home: Home, address: Address, environ: Mapping[str, str]) -> None:
        own = {"HOST": address.host, "PORT": str(address.port)}
        super().__init__(home, address.url, {**environ, **own})
        self.address = address
        live_url = f"{address.url}{LIVE_PATH}"
        arguments = ["serve", "all", "--demo"]
        self.shop = Child("shop", arguments, self.environ, home, live_url=live_url)

    @property
    def children(self) -> Sequence[Child]:
        """What is to run, beside the groundwork."""
        return [self.shop]

    def start(self, say: Callable[[str], None]) -> None:
        """Raises UpFailed when the shop does not come up."""
        check_port(self.address)
        self.bank.start()
        self.start_validators()
        self.shop.start()  # it loads while PostgreSQL starts, and waits for it
        say("starting PostgreSQL")
        self.postgres.start()
        say("starting the shop; the first time it fills the demo chain")
        self._await_ready()
        self.home.note_running(
            {
                "url": self.address.url,
                "database_url": self.postgres.url(),
                "bank_url": self.environ["BANK_URL"],
                "shop_pid": self.shop.pid,
                "bank_pid": self.bank.pid,
                "postgres_pid": self.postgres.pid,
            }
        )

    def stop(self) -> None:
        """The shop first: it needs the others."""
        self.shop.stop()
        super().stop()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.shop.ready.wait(0.05):
            if self.stopping.is_set():
                return
            if self.shop.has_ended() or time.monotonic() > deadline:
                log = self.home.logs / "shop.log"
                raise UpFailed(f"The shop did not start: {log_end(log)} ({log} has more)")


def up(
    folder: Path,
    address: Address,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    welcome: Callable[[str], None],
) -> None:
    """Run in the foreground until SIGINT or SIGTERM. Raises UpFailed."""
    home = Home(folder)
    with home.owned():
        stack = Stack(home, address, environ)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stack.stopping.set())
        try:
            stack.start(say)
            if not stack.stopping.is_set():
                welcome(address.url)
            stack.watch(say)
        finally:
            say("stopping")
            stack.stop()


@contextmanager
def borrowed(folder: Path, environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The settings to reach a shop's databases and bank: running ones, or started for us.

    With DATABASE_URL in `environ` that server is used as it is. Raises UpFailed when there is no
    shop in `folder`.
    """
    if "DATABASE_URL" in environ:
        yield environ
        return
    home = Home(folder)
    facts = home.running()
    if not (home.folder / "postgres").exists():
        raise UpFailed(f"There is no shop in {home.folder}; `cinesync up` makes one.")
    stack = Stack(home, Address("127.0.0.1", free_port()), environ)
    if facts:
        stack.environ |= {"DATABASE_URL": facts["database_url"], "BANK_URL": facts["bank_url"]}
        yield stack.environ
        return
    with home.owned():
        try:
            stack.start_books()
            yield stack.environ
        finally:
            stack.stop()


def free_port() -> int:
    """A port nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones: all are taken before any is given back."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def _validators_in(ledger: Path) -> list[int]:
    """By number, the homes that a founded ledger has on this machine."""
    if not (ledger / "genesis.json").exists():
        return []
    numbers = (home.name.removeprefix("validator-") for home in ledger.glob("validator-*"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def check_port(address: Address) -> None:
    """Raises UpFailed when somebody listens there."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise UpFailed(
                f"Cannot listen on {address.host} port {address.port}: {error.strerror}."
                " Choose another with --port."
            ) from error


def log_end(path: Path) -> str:
    """The last line: what a traceback or a log ends with."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it ended without a word"


def _die_with_parent() -> None:
    """In the child, before exec (prctl(2)): orphans would keep the ports and the data."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
