"""A shop's data folder: its lock, secrets, logs, and the file about the running shop."""

import fcntl
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cinesync.chassis import durable
from cinesync.chassis.telemetry.log_retention import LogRetention
from cinesync.supervisor import private_files
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.inventory import Inventory
from cinesync.supervisor.log_files import LogFile


class DataFolder:
    """One shop's databases, ledger, bank, logs and secrets."""

    def __init__(self, folder: Path) -> None:
        self.path = folder.expanduser().absolute()
        self.logs = self.path / "logs"
        self.run_file = self.path / "run.json"
        self.inventory = Inventory(self.path)
        self.retention = LogRetention()
        self._logs: dict[str, LogFile] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock. Raises StartFailed when another process holds it."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a")
        except OSError as error:
            raise StartFailed(f"{self.path} cannot be used: {error.strerror}.") from error
        with private_files.private(), lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StartFailed(
                    f"A shop already runs on {self.path}"
                    f" ({self.running().get('url', 'starting')}); stop it,"
                    " or choose another folder with --data."
                ) from error
            private_files.restrict_permissions(self.path, self.path / "postgres")
            self.run_file.unlink(missing_ok=True)  # of a killed supervisor
            try:
                yield
            finally:
                self.run_file.unlink(missing_ok=True)

    def secret(self, name: str) -> str:
        """A random secret, created at its first use; only its owner may read it.

        Raises StartFailed when it was created, and is missing.
        """
        path = self.path / f"{name}.secret"
        self.inventory.check_secret(name)
        if (
            not path.exists() or not path.read_text().strip()
        ):  # an interrupted write of an earlier version
            durable.write(path, secrets.token_urlsafe(48).encode())
        self.inventory.record_secret(name)
        return path.read_text()

    def shop_id(self) -> str:
        """Names this shop on a shared broker; derived from its secret, which it does not reveal."""
        digest = hashlib.sha256(f"cinesync 1: shop id: {self.secret('shop')}".encode())
        return digest.hexdigest()[:12]

    def write_run_file(self, facts: Mapping[str, object]) -> None:
        """Store where the running shop is, for other commands."""
        self.run_file.write_text(json.dumps(facts))

    def update_run_file(self, facts: Mapping[str, object]) -> None:
        """Add facts to the file of a running shop."""
        if self.run_file.exists():
            self.write_run_file({**json.loads(self.run_file.read_text()), **facts})

    def running(self) -> dict[str, str]:
        """The facts about the running shop; empty when none runs."""
        if not self._is_locked():
            return {}
        try:
            facts: dict[str, str] = json.loads(self.run_file.read_text())
        except (OSError, ValueError):
            return {}
        return facts

    def _is_locked(self) -> bool:
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # no shop was ever started here
        return False

    def log(self, name: str) -> LogFile:
        """The log of a process; the same object each time."""
        if name not in self._logs:
            self._logs[name] = LogFile(self.logs / f"{name}.log", self.retention)
        return self._logs[name]

    def reopen_logs(self) -> None:
        """Open all logs again: they were moved."""
        for log in self._logs.values():
            log.reopen()
