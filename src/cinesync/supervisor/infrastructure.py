"""What every shop on one machine runs beside its services: PostgreSQL, the bank, the validators."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from cinesync.chassis.durable import set_aside
from cinesync.chassis.settings import SettingsError, load
from cinesync.chassis.telemetry.log_retention import LogRetention, SupervisorMetrics
from cinesync.supervisor import metrics_server
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.environments import DATABASE_URLS, DATABASES, for_bank, for_validator
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.log_files import json_line
from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.metrics_server import ProcessMetrics
from cinesync.supervisor.ports import ListenAddress, free_ports
from cinesync.supervisor.postgres import Postgres, PostgresFailed
from cinesync.supervisor.postgres.watch import PostgresWatch
from cinesync.supervisor.watchdog import watched

S = TypeVar("S")

WATCH_SECONDS = 0.2
BANK_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
BANK_SETTINGS = frozenset({"BANK_URL", "BANK_SECRET"})
VALIDATORS = 4  # n = 3f + 1: the fewest that tolerate one faulty validator
OWN_URLS = ("API_URL", "AUTH_URL", "MOVIES_URL", "BOOKING_URL", "PAYMENT_URL", "SHOP_URL")


def postgres_of(data_folder: DataFolder) -> Postgres:
    """The shop's PostgreSQL, with a role for each service's database."""
    return Postgres(
        data_folder.path / "postgres",
        secret=data_folder.secret("shop"),
        databases=DATABASES,
        retention=data_folder.retention,
    )


def _database_urls(postgres: Postgres) -> dict[str, str]:
    """By setting."""
    return dict(zip(DATABASE_URLS.values(), map(postgres.service_url, DATABASES), strict=True))


class Infrastructure:
    """PostgreSQL, the bank and the validators of a shop, and the loop that restarts processes.

    `url` is where the shop's processes reach each other.
    """

    def __init__(self, data_folder: DataFolder, url: str, environ: Mapping[str, str]) -> None:
        self.data_folder = data_folder
        data_folder.retention = _loaded(LogRetention, environ)
        self._metrics_port = _loaded(SupervisorMetrics, environ).supervisor_metrics_port
        self.ledger = data_folder.path / "ledger"
        self._ledger_mismatches = data_folder.inventory.check()
        self.postgres = postgres_of(data_folder)
        self._postgres_watch = PostgresWatch(self.postgres)
        numbers = _validators_in(self.ledger) or range(VALIDATORS)
        bank_port, *validator_ports = free_ports(1 + len(numbers))
        self._bank_port = bank_port
        self._validator_ports = dict(zip(numbers, validator_ports, strict=True))
        takes_real_money = bool(environ.get("STRIPE_SECRET_KEY"))
        without_bank = {k: v for k, v in environ.items() if k not in BANK_SETTINGS}
        bank = {
            "BANK_URL": f"http://127.0.0.1:{bank_port}",
            "BANK_SECRET": data_folder.secret("bank"),
        }
        own = {
            **({} if takes_real_money else bank),
            "SECRET_KEY": data_folder.secret("shop"),
            "SHOP_ID": environ.get("SHOP_ID") or data_folder.shop_id(),
            "DATABASE_URL": self.postgres.url(),
            **dict(
                zip(DATABASE_URLS.values(), map(self.postgres.service_url, DATABASES), strict=True)
            ),
            "DEMO_ACCOUNTS": str(data_folder.path / "demo.json"),
            "MAIL_SPOOL": str(data_folder.path / "mail"),
            "LEDGER_HOME": str(self.ledger / "client-ledger"),
            **dict.fromkeys(OWN_URLS, url),
        }
        self.ignored = [name for name in own if environ.get(name) not in {None, "", own[name]}]
        folder = {"DISK_FOLDER": environ.get("DISK_FOLDER") or str(data_folder.path)}
        self.environ = {**without_bank, **own, **folder}
        self.bank = (
            None
            if takes_real_money
            else ManagedProcess(
                "bank",
                [
                    "bank",
                    f"--port={bank_port}",
                    f"--data={data_folder.path / 'bank.sqlite'}",
                    f"--webhook-url={url}/api/payment/webhooks/sandbox",
                ],
                for_bank(self.environ),
                data_folder,
            )
        )
        self.validators = [
            ManagedProcess(
                name,
                ["validator", f"--home={self.ledger / name}"],
                for_validator(self.environ),
                data_folder,
            )
            for name in (f"validator-{number}" for number in numbers)
        ]
        self.stopping = threading.Event()

    def start_validators(self, say: Callable[[str], None]) -> None:
        """Create the ledger at the first start, write this start's ports to its homes, and start.

        A ledger with a missing part is not started. The shop sells on, and its entries wait.
        """
        if self._ledger_mismatches:
            for sentence in self._ledger_mismatches:
                say(f"The ledger is not started, and its entries wait. {sentence}")
            self.validators = []
            return
        from cinesync.validator import home, provisioning  # noqa: PLC0415 loads while the bank starts

        addresses = {at: f"127.0.0.1:{port}" for at, port in self._validator_ports.items()}
        if (self.ledger / provisioning.GENESIS_FILE).exists():
            self._check_ledger()
            known = home.read_addresses(provisioning.client_home(self.ledger))
            provisioning.write_addresses(self.ledger, known | addresses)
        else:
            # The first start of an earlier version was interrupted.
            if self.ledger.exists() and any(self.ledger.iterdir()):
                say(f"{self.ledger} is incomplete; it is moved to {set_aside(self.ledger)}")
            provisioning.init(self.ledger, list(addresses.values()))
        self.data_folder.inventory.record_ledger()
        for validator in self.validators:
            validator.start()

    def _check_ledger(self) -> None:
        """Raises StartFailed for a ledger of another version, before it is changed."""
        from cinesync.validator import provisioning  # noqa: PLC0415 see start_validators
        from cinesync.validator.storage import schema  # noqa: PLC0415 see start_validators

        try:
            for file in sorted(self.ledger.glob(f"validator-*/{provisioning.CHAIN_FILE}")):
                schema.check_file(file)
        except schema.OldFormat as error:
            raise StartFailed(str(error)) from error

    def start_bank(self) -> None:
        """Start the sandbox bank; a shop with a real provider has none."""
        if self.bank is not None:
            self.bank.start()

    def record_parts(self) -> None:
        """The shop is up: record its parts, which later starts need."""
        self.data_folder.inventory.record_existing()
        self.data_folder.inventory.record_broker(self.environ.get("RABBITMQ_URL", ""))

    @property
    def banks(self) -> Sequence[ManagedProcess]:
        return [self.bank] if self.bank is not None else []

    def start_postgres(self, say: Callable[[str], None]) -> None:
        """Try until it is ready, or until `stopping` is set.

        Raises StartFailed when its cluster cannot be created.
        """
        if not self.postgres.is_initialised():
            try:
                self.postgres.launch()
            except (PostgresFailed, OSError) as error:
                raise StartFailed(f"PostgreSQL cannot be set up: {error}") from error
        while not self.postgres.is_ready() and not self.stopping.wait(POLL_SECONDS):
            self._restart_ended(say)

    def start_data_stores(self) -> None:
        """Start only what holds data, for commands on a stopped shop.

        A bank that does not start is not reported: the command may not need it.
        """
        self.start_bank()
        self.postgres.start()
        self.await_bank()

    def await_bank(self) -> None:
        """Wait until the bank answers, has ended, or takes too long."""
        address = ListenAddress("127.0.0.1", self._bank_port)
        deadline = time.monotonic() + BANK_SECONDS_MAX
        for bank in self.banks:
            while not address.answers() and not bank.has_ended() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)

    @property
    def children(self) -> Sequence[ManagedProcess]:
        """The processes of the services."""
        return ()

    def metrics(self) -> Iterator[ProcessMetrics]:
        """Of every process."""
        for child in (*self.banks, *self.validators, *self.children):
            yield child.metrics()
        lost = self.postgres.log.lines_lost
        restarts = self._postgres_watch.restarts
        yield ProcessMetrics("postgres", self.postgres.is_running(), restarts, lost)

    @contextmanager
    def _metrics(self, say: Callable[[str], None]) -> Iterator[None]:
        """Serve metrics; a taken port is reported, and the shop runs without them."""
        try:
            with metrics_server.serving(self._metrics_port, self.metrics) as url:
                self.data_folder.update_run_file({"supervisor_metrics_url": url})
                yield
        except metrics_server.PortTaken as error:
            say(f"SUPERVISOR_METRICS_PORT={self._metrics_port}: {error}; it serves no metrics")
            yield

    def watch(self, say: Callable[[str], None]) -> None:
        """Until `stopping` is set: restart processes that end or hang, and run commands."""
        with watched(lambda: self.children, say), self._metrics(say):
            while not self.stopping.wait(WATCH_SECONDS):
                self._restart_ended(say)
                try:
                    self.tick()
                except Exception as error:  # noqa: BLE001 the shop outlives a failed command
                    say(f"a command failed: {error!r}")

    def tick(self) -> None:
        """Run a step of a command; it never waits for long."""

    def _restart_ended(self, say: Callable[[str], None]) -> None:
        """Restart what has ended; it never raises, and never waits."""
        self._postgres_watch.tick(say)
        for child in (*self.banks, *self.validators, *self.children):
            try:
                if not self.stopping.is_set() and child.has_ended() and child.restart_if_due():
                    say(f"the {child.name} ended; it was started again")
            except OSError as error:  # no memory or process: tried again at the next tick
                say(f"the {child.name} ended and cannot be started: {error.strerror}")

    def stop(self) -> None:
        """Stop them in the order of their dependencies."""
        for child in (*self.validators, *self.banks):
            child.stop()
        self.postgres.stop()

    def reopen_logs(self) -> None:
        """Open all logs again: they were moved."""
        self.data_folder.reopen_logs()
        self.postgres.log.reopen()


def announcer(data_folder: DataFolder, say: Callable[[str], None]) -> Callable[[str], None]:
    """Calls `say`, and logs to `logs/supervisor.log`; a closed terminal is no error."""

    def announce(what: str) -> None:
        data_folder.log("supervisor").write(json_line("supervisor.said", "info", text=what))
        with suppress(Exception):
            say(what)

    return announce


def announce_ignored(ignored: Sequence[str], say: Callable[[str], None]) -> None:
    """Name the settings of the environment that have no effect."""
    if ignored:
        say(
            f"{', '.join(ignored)} of the environment: not used, `cinesync up` runs its own;"
            " `cinesync serve` uses them"
        )


def _loaded(kind: type[S], environ: Mapping[str, str]) -> S:
    """Raises StartFailed."""
    try:
        return load(kind, environ)
    except SettingsError as error:
        raise StartFailed(str(error)) from error


def _validators_in(ledger: Path) -> list[int]:
    """The numbers of the validators whose homes are on this machine."""
    if not (ledger / "genesis.json").exists():
        return []
    numbers = (home.name.removeprefix("validator-") for home in ledger.glob("validator-*"))
    return sorted(int(number) for number in numbers if number.isdecimal())
