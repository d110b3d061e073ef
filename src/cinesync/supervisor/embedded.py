"""`cinesync up`: PostgreSQL, a bank, four validators and the shop, started and watched together.

Imports little on purpose: the children load the services while PostgreSQL starts.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cinesync.supervisor import environments
from cinesync.supervisor.address import Address, check_port, free_port
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.demo import Exposure, behind_proxy, decide
from cinesync.supervisor.environments import for_services
from cinesync.supervisor.errors import UpFailed
from cinesync.supervisor.infrastructure import Infrastructure, announce_ignored, announcer
from cinesync.supervisor.managed_process import ManagedProcess

PARTS = (*environments.SERVICES, "web")
READY_SECONDS_MAX = 180.0
LIVE_PATH = "/health/live"


class EmbeddedShop(Infrastructure):
    """Everything a shop needs on one machine, its services in one process."""

    def __init__(
        self,
        home: DataFolder,
        address: Address,
        environ: Mapping[str, str],
        exposure: Exposure | None = None,
    ) -> None:
        own = {"HOST": address.host, "PORT": str(address.port)}
        super().__init__(home, address.url, {**environ, **own})
        self.environ["SHOP_URL"] = environ.get("SHOP_URL") or address.url
        self.address = address
        self._exposure = exposure or Exposure(address)
        if self._exposure.behind_proxy:
            self.environ |= behind_proxy(address, environ)
        live_url = f"{address.url}{LIVE_PATH}"
        self.shop = ManagedProcess(
            "shop", ["serve", "all"], for_services(self.environ, *PARTS), home, live_url=live_url
        )

    @property
    def children(self) -> Sequence[ManagedProcess]:
        """What is to run, beside the groundwork."""
        return [self.shop]

    def start(self, say: Callable[[str], None]) -> None:
        """Raises UpFailed when the shop does not come up."""
        if decide(self.home.folder, self._exposure).chain:
            self.shop.arguments = ["serve", "all", "--demo"]
        check_port(self.address)
        self.start_bank()
        self.start_validators(say)
        self.shop.start()  # it loads while PostgreSQL starts, and waits for it
        say("starting PostgreSQL")
        self.start_postgres(say)
        say("starting the shop; the first time it makes its databases, and a demo's films")
        self._await_ready(say)
        self.note_parts()
        self.home.note_running(
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
        """The shop first: it needs the others."""
        self.shop.stop()
        super().stop()

    def _await_ready(self, say: Callable[[str], None]) -> None:
        """While PostgreSQL comes and goes, nobody is late."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.shop.ready.wait(0.05):
            if self.stopping.is_set():
                return
            if not self.postgres.is_ready():
                self.start_postgres(say)
                deadline = time.monotonic() + READY_SECONDS_MAX
            elif self.shop.has_ended() or time.monotonic() > deadline:
                log = self.home.logs / "shop.log"
                why = self.shop.last_words()
                raise UpFailed(f"The shop did not start: {why} ({log} has more)")


def up(
    folder: Path,
    address: Address,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    welcome: Callable[[str], None],
    exposure: Exposure | None = None,
) -> None:
    """Run in the foreground until SIGINT or SIGTERM. Raises UpFailed."""
    home = DataFolder(folder)
    with home.owned():
        stack = EmbeddedShop(home, address, environ, exposure)
        say = announcer(home, say)
        announce_ignored(stack.ignored, say)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stack.stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: stack.reopen_logs())
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
    if environ.get("DATABASE_URL"):
        yield environ
        return
    home = DataFolder(folder)
    facts = home.running()
    if not (home.folder / "postgres").exists():
        raise UpFailed(f"There is no shop in {home.folder}; `cinesync up` makes one.")
    stack = EmbeddedShop(home, Address("127.0.0.1", free_port()), environ)
    if home.parts.has_broker:
        stack.environ["SHOP_HAS_BROKER"] = "true"
    if facts:
        stack.environ["DATABASE_URL"] = facts["database_url"]
        if facts["bank_url"]:
            stack.environ["BANK_URL"] = facts["bank_url"]
        yield stack.environ
        return
    with home.owned():
        try:
            stack.start_books()
            yield {**stack.environ, "SHOP_IS_RUNNING": "false"}
        finally:
            stack.stop()
