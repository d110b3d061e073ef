"""A shop's data folder: its lock, secrets, logs, and what runs on it."""

import fcntl
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cinesync.chassis import durable
from cinesync.chassis.log_retention import LogRetention
from cinesync.supervisor import private_files
from cinesync.supervisor.errors import UpFailed
from cinesync.supervisor.log_files import LogFile
from cinesync.supervisor.parts import Parts


class DataFolder:
    """A data folder: one shop's databases, books, logs and secrets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self.logs = self.folder / "logs"
        self.run_file = self.folder / "run.json"
        self.parts = Parts(self.folder)
        self.retention = LogRetention()
        self._logs: dict[str, LogFile] = {}

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keep others out while we run. Raises UpFailed when somebody is in already."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise UpFailed(f"{self.folder} cannot be used: {error.strerror}.") from error
        with private_files.private(), lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UpFailed(
                    f"A shop already runs on {self.folder}"
                    f" ({self.running().get('url', 'starting')}); stop it,"
                    " or choose another folder with --data."
                ) from error
            private_files.mend(self.folder, self.folder / "postgres")
            self.run_file.unlink(missing_ok=True)  # of one that was killed
            try:
                yield
            finally:
                self.run_file.unlink(missing_ok=True)

    def secret(self, name: str) -> str:
        """A random secret made once and kept, readable by its owner only.

        Raises UpFailed when it was made, and is no longer there.
        """
        path = self.folder / f"{name}.secret"
        self.parts.check_secret(name)
        if not path.exists() or not path.read_text().strip():  # an old write, cut short
            durable.write(path, secrets.token_urlsafe(48).encode())
        self.parts.note_secret(name)
        return path.read_text()

    def shop_id(self) -> str:
        """Names this shop where others may be too; made once, with its secret, which it hides."""
        digest = hashlib.sha256(f"cinesync 1: shop id: {self.secret('shop')}".encode())
        return digest.hexdigest()[:12]

    def note_running(self, facts: Mapping[str, object]) -> None:
        """Tell other commands where the running shop is."""
        self.run_file.write_text(json.dumps(facts))

    def note_more(self, facts: Mapping[str, object]) -> None:
        """Beside what is told already; only of a shop that runs."""
        if self.run_file.exists():
            self.note_running({**json.loads(self.run_file.read_text()), **facts})

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

    def log(self, name: str) -> LogFile:
        """The log of a process, the same one each time."""
        if name not in self._logs:
            self._logs[name] = LogFile(self.logs / f"{name}.log", self.retention)
        return self._logs[name]

    def reopen_logs(self) -> None:
        """Somebody has moved them away."""
        for log in self._logs.values():
            log.reopen()
