"""A child process of the supervisor: restarted when it ends, ended with the supervisor."""

import ctypes
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cinesync.chassis.backoff import Backoff
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.log_files import ProcessOutput, last_output
from cinesync.supervisor.metrics_server import ProcessMetrics
from cinesync.supervisor.postgres.server import PR_SET_PDEATHSIG

STOP_SECONDS_MAX = 30.0
OUTPUT_SECONDS_MAX = 2.0
RESTARTING = Backoff(first_seconds=0.5, seconds_max=5.0, jitter=0.0)
STEADY_SECONDS = 30.0
READY_LINE = "cinesync-ready"


@dataclass
class ManagedProcess:
    """A process of the shop, with its arguments, environment and log."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    data_folder: DataFolder
    module: str = "cinesync.cli.main"
    live_url: str = ""
    restarts: int = 0  # in a row
    restarts_total: int = 0
    started_at: float = 0.0
    ready: threading.Event = field(default_factory=threading.Event)
    _process: subprocess.Popen[bytes] | None = None
    _output: ProcessOutput | None = None
    _due_at: float | None = None

    def start(self) -> None:
        """Start, or start again."""
        self.started_at = time.monotonic()
        self.ready.clear()
        output = ProcessOutput(self.name, self.data_folder.log(self.name), self._on_text)
        try:
            self._process = subprocess.Popen(  # noqa: S603 our own command
                self.command(),
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output.writer,
                stderr=output.writer,
                start_new_session=True,  # Ctrl-C goes to the supervisor alone
                preexec_fn=_die_with_parent,  # noqa: PLW1509 Python code between fork and exec is this line
            )
        except BaseException:
            output.abandon()
            raise
        output.begin()
        self._output = output

    def command(self) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", self.module, *self.arguments]

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None, "started"
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it must be restarted."""
        return self._process is not None and self._process.poll() is not None

    def is_serving(self) -> bool:
        """Whether it has been ready, and has not ended."""
        return self.ready.is_set() and not self.has_ended()

    def metrics(self) -> ProcessMetrics:
        """For metrics."""
        lost = self.data_folder.log(self.name).lines_lost
        is_up = self._process is not None and not self.has_ended()
        return ProcessMetrics(self.name, is_up, self.restarts_total, lost)

    def restart_if_due(self) -> bool:
        """Restart it after a pause, which grows while it keeps ending early. False: not due yet."""
        now = time.monotonic()
        if self._due_at is None:
            if now - self.started_at > STEADY_SECONDS:
                self.restarts = 0
            self._due_at = now + RESTARTING.pause_seconds(self.restarts)
        if now < self._due_at:
            return False
        self._due_at = now + RESTARTING.seconds_max  # in case it cannot be started
        self.restarts += 1
        self.restarts_total += 1
        self.start()
        self._due_at = None
        return True

    def drain(self) -> None:
        """SIGTERM: it serves for another DRAIN_SECONDS, and ends."""
        assert self._process is not None, "started"
        self._process.terminate()

    def stop(self) -> None:
        """SIGINT, and SIGKILL when it does not end in time."""
        self.end()
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        if self._output is not None:
            self._output.finish(OUTPUT_SECONDS_MAX)
        self.data_folder.log(self.name).close()

    def last_output(self) -> str:
        """The last line of its log: often why it ended."""
        if self._output is not None and self.has_ended():
            self._output.finish(OUTPUT_SECONDS_MAX)
        return last_output(self.data_folder.log(self.name).path)

    def kill(self) -> None:
        """SIGKILL, for a process that hangs."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """SIGINT, without waiting."""
        if self._process is not None and not self.has_ended():
            self._process.send_signal(signal.SIGINT)

    def _on_text(self, line: str) -> bool:
        """Whether `line` is the ready line, which is not logged."""
        if line != READY_LINE:
            return False
        self.ready.set()
        return True


def _die_with_parent() -> None:
    """In the child, before exec (prctl(2)): an orphan would keep ports and data."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
