"""`cinesync up`: starts and watches PostgreSQL, the bank, four validators and one shop process.

It imports little: the children load the services while PostgreSQL starts.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cinesync.supervisor import environments
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.demo import Exposure, behind_proxy, decide
from cinesync.supervisor.environments import for_services
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.infrastructure import Infrastructure, announce_ignored, announcer
from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.ports import ListenAddress, check_port, free_port

PARTS = (*environments.SERVICES, "web")
READY_SECONDS_MAX = 180.0
LIVE_PATH = "/health/live"


class EmbeddedShop(Infrastructure):
    """A shop on one machine whose services run in one process."""

    def __init__(
        self,
        data_folder: DataFolder,
        address: ListenAddress,
        environ: Mapping[str, str],
        exposure: Exposure | None = None,
    ) -> None:
        own = {"HOST": address.host, "PORT": str(address.port)}
        super().__init__(data_folder, address.url, {**environ, **own})
        self.environ["SHOP_URL"] = environ.get("SHOP_URL") or address.url
        self.address = address
        self._exposure = exposure or Exposure(address)
        if self._exposure.behind_proxy:
            self.environ |= behind_proxy(address, environ)
        live_url = f"{address.url}{LIVE_PATH}"
        self.shop = ManagedProcess(
            "shop",
            ["serve", "all"],
            for_services(self.environ, *PARTS),
            data_folder,
            live_url=live_url,
        )

    @property
    def children(self) -> Sequence[ManagedProcess]:
        """The processes of the services."""
        return [self.shop]

    def start(self, say: Callable[[str], None]) -> None:
        """Raises StartFailed when the shop does not come up."""
        if decide(self.data_folder.path, self._exposure).chain:
            self.shop.arguments = ["serve", "all", "--demo"]
        check_port(self.address)
        self.start_bank()
        self.start_validators(say)
        self.shop.start()  # it loads while PostgreSQL starts, and waits for it
        say("starting PostgreSQL")
        self.start_postgres(say)
        say("starting the shop; the first time it makes its databases, and a demo's films")
        self._await_ready(say)
        self.record_parts()
        self.data_folder.write_run_file(
            {
                "url": self.address.url,
                "database_url": self.postgres.url(),
                "bank_url": self.environ.get("BANK_URL", ""),
                "shop_pid": self.shop.pid,
                "bank_pid": self.bank.pid if self.bank is not None else None,
                "postgres_pid": self.postgres.pid,
            }
        )

    def stop(self) -> None:
        """Stop the shop first: it needs the others."""
        self.shop.stop()
        super().stop()

    def _await_ready(self, say: Callable[[str], None]) -> None:
        """Wait for the shop; the time limit starts anew whenever PostgreSQL restarts."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.shop.ready.wait(0.05):
            if self.stopping.is_set():
                return
            if not self.postgres.is_ready():
                self.start_postgres(say)
                deadline = time.monotonic() + READY_SECONDS_MAX
            elif self.shop.has_ended() or time.monotonic() > deadline:
                log = self.data_folder.logs / "shop.log"
                why = self.shop.last_output()
                raise StartFailed(f"The shop did not start: {why} ({log} has more)")


def up(
    folder: Path,
    address: ListenAddress,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    welcome: Callable[[str], None],
    exposure: Exposure | None = None,
) -> None:
    """Run in the foreground until SIGINT or SIGTERM. Raises StartFailed."""
    data_folder = DataFolder(folder)
    with data_folder.locked():
        shop = EmbeddedShop(data_folder, address, environ, exposure)
        say = announcer(data_folder, say)
        announce_ignored(shop.ignored, say)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: shop.stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: shop.reopen_logs())
        try:
            shop.start(say)
            if not shop.stopping.is_set():
                welcome(address.url)
            shop.watch(say)
        finally:
            say("stopping")
            shop.stop()


@contextmanager
def shop_environ(folder: Path, environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The settings to reach a shop's databases and bank, which are started if they do not run.

    With DATABASE_URL in `environ` that server is used. Raises StartFailed when there is no shop in
    `folder`.
    """
    if environ.get("DATABASE_URL"):
        yield environ
        return
    data_folder = DataFolder(folder)
    facts = data_folder.running()
    if not (data_folder.path / "postgres").exists():
        raise StartFailed(f"There is no shop in {data_folder.path}; `cinesync up` creates one.")
    shop = EmbeddedShop(data_folder, ListenAddress("127.0.0.1", free_port()), environ)
    if data_folder.inventory.has_broker:
        shop.environ["SHOP_HAS_BROKER"] = "true"
    if facts:
        shop.environ["DATABASE_URL"] = facts["database_url"]
        if facts["bank_url"]:
            shop.environ["BANK_URL"] = facts["bank_url"]
        yield shop.environ
        return
    with data_folder.locked():
        try:
            shop.start_data_stores()
            yield {**shop.environ, "SHOP_IS_RUNNING": "false"}
        finally:
            shop.stop()
