"""A private RabbitMQ broker for tests: own ports, own data, killable and restartable."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from cinesync.supervisor.ports import free_port

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
DEBIAN_PACKAGE = "rabbitmq-server"
START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 30.0


class BrokerFailed(RuntimeError):
    """The broker did not come up; its last log lines are in the message."""


def installed() -> bool:
    """Whether the Debian package with the broker is here."""
    return SERVER.exists() and shutil.which("epmd") is not None


class RabbitMqServer:
    """One broker node. `kill` is SIGKILL; `start` after it goes on with the same data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._write_files()

    @property
    def url(self) -> str:
        """The address a client connects to."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns once the broker takes connections. Raises BrokerFailed."""
        assert self._process is None, "already running"
        self._start_epmd()
        with (self.directory / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                # -noinput stands here because ALLOW_INPUT, which makes the script exec the VM
                # instead of guarding it from a shell, leaves it out.
                [SERVER, "-noinput"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self._wait_until_up()

    def kill(self) -> None:
        """The power cord: no goodbye to clients, no flushing."""
        assert self._process is not None, "not running"
        self.signal(signal.SIGKILL)
        self._process.wait(STOP_SECONDS_MAX)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Any signal, to the broker and its helpers: SIGSTOP makes it hang, SIGCONT go on."""
        assert self._process is not None, "not running"
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Ends the broker and its port mapper."""
        if self._process is not None:
            self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_SECONDS_MAX)
            self._epmd = None

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "log.console = false\n"
            "log.file.level = warning\n"
            "disk_free_limit.absolute = 1MB\n"
            "vm_memory_high_watermark.absolute = 2GB\n"
        )

    def _environment(self) -> dict[str, str]:
        loopback = "{127,0,0,1}"
        directory = str(self.directory)
        return {
            "PATH": os.defpath,
            "HOME": directory,
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_NODENAME": f"test-{self._dist_port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{directory}/mnesia",
            "RABBITMQ_LOG_BASE": f"{directory}/log",
            "RABBITMQ_PID_FILE": f"{directory}/pid",
            # One scheduler that sleeps at once: the machine is shared with the tests themselves.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 1:1 +SDio 2 +sbwt none +sbwtdcpu none +sbwtdio none"
                f" -kernel inet_dist_use_interface {loopback}"
            ),
        }

    def _start_epmd(self) -> None:
        # Our own: a daemon that the VM starts would outlive the tests.
        if self._epmd is None:
            command = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._greets():
                return
            time.sleep(0.1)
        tail = (self.directory / "console.log").read_text(errors="replace")[-2000:]
        self.stop()
        raise BrokerFailed(tail)

    def _greets(self) -> bool:
        # The listener opens before the broker is done booting; only a booted one answers.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return len(client.recv(1)) == 1
        except OSError:
            return False


def temporary_server() -> RabbitMqServer:
    """A server with its data in a new directory; the caller stops it and removes the directory."""
    return RabbitMqServer(Path(tempfile.mkdtemp(prefix="cinesync-rabbitmq-")))
