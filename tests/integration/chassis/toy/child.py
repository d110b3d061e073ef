"""Starts, calls, stops and kills the toy service as a real process."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.places import ROOT

WAIT_SECONDS_MAX = 60


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """One process of the toy service on `database_url`."""

    def __init__(self, database_url: str, log: Path, instance: str = "a", **environ: str) -> None:
        self.port = free_port()
        self.log = log
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=WAIT_SECONDS_MAX)
        self._environ = {
            **os.environ,  # noqa: TID251 a child inherits
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "DATABASE_URL": database_url,
            "INSTANCE": instance,
            "PORT": str(self.port),
            "AUTH_URL": f"http://127.0.0.1:{self.port}",
            **environ,
        }
        self.process = self.start()

    def start(self, **environ: str) -> subprocess.Popen[bytes]:
        """Begin (again); does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.chassis.toy"],
                cwd=ROOT,
                env={**self._environ, **environ},
                stdout=subprocess.PIPE,
                stderr=log,
            )
        return self.process

    def until_ready(self) -> "Child":
        """Returns when it says so."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == b"ready\n", (line, self.log.read_text())
        return self

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS_MAX)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS_MAX)
        if self.process.stdout is not None:
            self.process.stdout.close()
