"""What every shop on one machine needs: PostgreSQL, the bank and the validators."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from cinesync.chassis.durable import set_aside
from cinesync.chassis.log_retention import LogRetention, SupervisorMetrics
from cinesync.chassis.settings import SettingsError, load
from cinesync.supervisor import metrics_server
from cinesync.supervisor.address import Address, free_ports
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.environments import DATABASE_URLS, DATABASES, for_bank, for_validator
from cinesync.supervisor.errors import UpFailed
from cinesync.supervisor.log_files import json_line
from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.metrics_server import ProcessFigures
from cinesync.supervisor.postgres import Postgres, PostgresFailed
from cinesync.supervisor.postgres_watch import PostgresWatch
from cinesync.supervisor.watchdog import watched

S = TypeVar("S")

WATCH_SECONDS = 0.2
BANK_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
BANK_SETTINGS = frozenset({"BANK_URL", "BANK_SECRET"})
VALIDATORS = 4  # the fewest that outlive one liar or one crash: n = 3f + 1
OWN_URLS = ("API_URL", "AUTH_URL", "MOVIES_URL", "BOOKING_URL", "PAYMENT_URL", "SHOP_URL")


def postgres_of(home: DataFolder) -> Postgres:
    """The server of a shop, with a role for each service's database."""
    return Postgres(
        home.folder / "postgres",
        secret=home.secret("shop"),
        databases=DATABASES,
        retention=home.retention,
    )


def _database_urls(postgres: Postgres) -> dict[str, str]:
    """By setting."""
    return dict(zip(DATABASE_URLS.values(), map(postgres.service_url, DATABASES), strict=True))


class Infrastructure:
    """What every shop on one machine stands on: PostgreSQL, the bank and the validators.

    `url` is where the shop's own parts reach each other.
    """

    def __init__(self, home: DataFolder, url: str, environ: Mapping[str, str]) -> None:
        self.home = home
        home.retention = _loaded(LogRetention, environ)
        self._metrics_port = _loaded(SupervisorMetrics, environ).supervisor_metrics_port
        self.ledger = home.folder / "ledger"
        self._ledger_stands = home.parts.check()
        self.postgres = postgres_of(home)
        self._postgres_watch = PostgresWatch(self.postgres)
        numbers = _validators_in(self.ledger) or range(VALIDATORS)
        bank_port, *validator_ports = free_ports(1 + len(numbers))
        self._bank_port = bank_port
        self._validator_ports = dict(zip(numbers, validator_ports, strict=True))
        takes_real_money = bool(environ.get("STRIPE_SECRET_KEY"))
        without_bank = {k: v for k, v in environ.items() if k not in BANK_SETTINGS}
        bank = {"BANK_URL": f"http://127.0.0.1:{bank_port}", "BANK_SECRET": home.secret("bank")}
        own = {
            **({} if takes_real_money else bank),
            "SECRET_KEY": home.secret("shop"),
            "SHOP_ID": environ.get("SHOP_ID") or home.shop_id(),
            "DATABASE_URL": self.postgres.url(),
            **dict(
                zip(DATABASE_URLS.values(), map(self.postgres.service_url, DATABASES), strict=True)
            ),
            "DEMO_ACCOUNTS": str(home.folder / "demo.json"),
            "MAIL_SPOOL": str(home.folder / "mail"),
            "LEDGER_HOME": str(self.ledger / "client-ledger"),
            **dict.fromkeys(OWN_URLS, url),
        }
        self.ignored = [name for name in own if environ.get(name) not in {None, "", own[name]}]
        folder = {"DISK_FOLDER": environ.get("DISK_FOLDER") or str(home.folder)}
        self.environ = {**without_bank, **own, **folder}
        self.bank = (
            None
            if takes_real_money
            else ManagedProcess(
                "bank",
                [
                    "bank",
                    f"--port={bank_port}",
                    f"--data={home.folder / 'bank.sqlite'}",
                    f"--webhook-url={url}/api/payment/webhooks/sandbox",
                ],
                for_bank(self.environ),
                home,
            )
        )
        self.validators = [
            ManagedProcess(
                name,
                ["validator", f"--home={self.ledger / name}"],
                for_validator(self.environ),
                home,
            )
            for name in (f"validator-{number}" for number in numbers)
        ]
        self.stopping = threading.Event()

    def start_validators(self, say: Callable[[str], None]) -> None:
        """Found the ledger the first time, and tell its homes today's ports.

        A ledger of which something is missing stands still, and the shop sells on: what happens
        waits for its validators.
        """
        if self._ledger_stands:
            for sentence in self._ledger_stands:
                say(f"The ledger stands still, and what happens waits for it. {sentence}")
            self.validators = []
            return
        from cinesync.validator import home, provisioning  # noqa: PLC0415 loads while the bank does

        addresses = {at: f"127.0.0.1:{port}" for at, port in self._validator_ports.items()}
        if (self.ledger / provisioning.GENESIS_FILE).exists():
            self._check_ledger()
            known = home.read_addresses(provisioning.client_home(self.ledger))
            provisioning.write_addresses(self.ledger, known | addresses)
        else:
            if self.ledger.exists() and any(self.ledger.iterdir()):  # an earlier version's, begun
                say(f"{self.ledger} was never founded; it is kept in {set_aside(self.ledger)}")
            provisioning.init(self.ledger, list(addresses.values()))
        self.home.parts.note_ledger()
        for validator in self.validators:
            validator.start()

    def _check_ledger(self) -> None:
        """Raises UpFailed before anything of another version's ledger is touched."""
        from cinesync.validator import provisioning  # noqa: PLC0415 see start_validators
        from cinesync.validator.storage import schema  # noqa: PLC0415 see start_validators

        try:
            for file in sorted(self.ledger.glob(f"validator-*/{provisioning.CHAIN_FILE}")):
                schema.check_file(file)
        except schema.OldFormat as error:
            raise UpFailed(str(error)) from error

    def start_bank(self) -> None:
        """A shop with a real provider has none."""
        if self.bank is not None:
            self.bank.start()

    def note_parts(self) -> None:
        """The shop is up: from now on nothing of it may be missing."""
        self.home.parts.note_what_is_there()
        self.home.parts.note_broker(self.environ.get("RABBITMQ_URL", ""))

    @property
    def banks(self) -> Sequence[ManagedProcess]:
        return [self.bank] if self.bank is not None else []

    def start_postgres(self, say: Callable[[str], None]) -> None:
        """Until it is ready, however often that takes, or until `stopping` is set.

        Raises UpFailed when there is nothing yet that could be started.
        """
        if not self.postgres.is_initialised():
            try:
                self.postgres.launch()
            except (PostgresFailed, OSError) as error:
                raise UpFailed(f"PostgreSQL cannot be set up: {error}") from error
        while not self.postgres.is_ready() and not self.stopping.wait(POLL_SECONDS):
            self._revive(say)

    def start_books(self) -> None:
        """Only what holds data, for commands that look into a stopped shop.

        A bank that does not start is for the command to find: it may not need one.
        """
        self.start_bank()
        self.postgres.start()
        self.await_bank()

    def await_bank(self) -> None:
        """Until it answers, or has ended, or takes too long."""
        address = Address("127.0.0.1", self._bank_port)
        deadline = time.monotonic() + BANK_SECONDS_MAX
        for bank in self.banks:
            while not address.answers() and not bank.has_ended() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)

    @property
    def children(self) -> Sequence[ManagedProcess]:
        """What is to run, beside the groundwork."""
        return ()

    def figures(self) -> Iterator[ProcessFigures]:
        """Of every process, for metrics."""
        for child in (*self.banks, *self.validators, *self.children):
            yield child.figures()
        lost = self.postgres.log.lines_lost
        restarts = self._postgres_watch.restarts
        yield ProcessFigures("postgres", self.postgres.is_running(), restarts, lost)

    @contextmanager
    def _metrics(self, say: Callable[[str], None]) -> Iterator[None]:
        """A port that is taken is said, and keeps no shop from selling."""
        try:
            with metrics_server.serving(self._metrics_port, self.figures) as url:
                self.home.note_more({"supervisor_metrics_url": url})
                yield
        except metrics_server.PortTaken as error:
            say(
                f"SUPERVISOR_METRICS_PORT={self._metrics_port}: {error}; there are no metrics of it"
            )
            yield

    def watch(self, say: Callable[[str], None]) -> None:
        """Until `stopping` is set: start again what ends or hangs, and do what is asked."""
        with watched(lambda: self.children, say), self._metrics(say):
            while not self.stopping.wait(WATCH_SECONDS):
                self._revive(say)
                try:
                    self.tick()
                except Exception as error:  # noqa: BLE001 the shop outlives whatever is asked of it
                    say(f"what was asked failed: {error!r}")

    def tick(self) -> None:
        """What else is to be done now and then; it never waits for long."""

    def _revive(self, say: Callable[[str], None]) -> None:
        """Never raises, and waits for nobody."""
        self._postgres_watch.tick(say)
        for child in (*self.banks, *self.validators, *self.children):
            try:
                if not self.stopping.is_set() and child.has_ended() and child.revive():
                    say(f"the {child.name} ended; it was started again")
            except OSError as error:  # no memory, no process to be had: at the next try, perhaps
                say(f"the {child.name} ended and cannot be started: {error.strerror}")

    def stop(self) -> None:
        """In the order in which they need each other."""
        for child in (*self.validators, *self.banks):
            child.stop()
        self.postgres.stop()

    def reopen_logs(self) -> None:
        """Somebody has moved them away."""
        self.home.reopen_logs()
        self.postgres.log.reopen()


def announcer(home: DataFolder, say: Callable[[str], None]) -> Callable[[str], None]:
    """Says it, and keeps it in `logs/supervisor.log`; a terminal that is gone ends nothing."""

    def announce(what: str) -> None:
        home.log("supervisor").write(json_line("supervisor.said", "info", text=what))
        with suppress(Exception):
            say(what)

    return announce


def announce_ignored(ignored: Sequence[str], say: Callable[[str], None]) -> None:
    """Settings that an operator may believe in."""
    if ignored:
        say(
            f"{', '.join(ignored)} of the environment: not used, `cinesync up` runs its own;"
            " `cinesync serve` takes them"
        )


def _loaded(kind: type[S], environ: Mapping[str, str]) -> S:
    """Raises UpFailed."""
    try:
        return load(kind, environ)
    except SettingsError as error:
        raise UpFailed(str(error)) from error


def _validators_in(ledger: Path) -> list[int]:
    """By number, the homes that a founded ledger has on this machine."""
    if not (ledger / "genesis.json").exists():
        return []
    numbers = (home.name.removeprefix("validator-") for home in ledger.glob("validator-*"))
    return sorted(int(number) for number in numbers if number.isdecimal())
