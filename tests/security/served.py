"""Parts of a shop as processes of their own, each as `cinesync serve` runs it; no broker.

`python -m tests.security.served auth web`, settings from the environment.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import uvloop

from cinesync.bootstrap import serve
from cinesync.chassis import telemetry
from tests.integration.chassis.toy.child import WAIT_SECONDS_MAX, free_port
from tests.support.places import ROOT

SECRET = "a secret that only these tests know"


class Served:
    """A process that serves `parts` on a port of its own."""

    def __init__(self, parts: str, log: Path, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._parts = parts.split()
        self._environ = {
            **os.environ,  # noqa: TID251 a child inherits
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "PORT": str(self.port),
            "AUTH_URL": self.url,
            "API_URL": self.url,
            "SECRET_KEY": SECRET,
            "HASH_MEMORY_KIB": "64",
            "HASH_ROUNDS": "1",
            **environ,
        }
        self.start()

    def start(self) -> None:
        """Begin (again), and wait until it serves."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.security.served", *self._parts],
                cwd=ROOT,
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), self.log.read_text()[-2000:]

    def stop(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS_MAX)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def client(self) -> httpx.Client:
        """A browser of its own."""
        return httpx.Client(base_url=self.url, timeout=WAIT_SECONDS_MAX)


if __name__ == "__main__":
    telemetry.configure_logging("WARNING")
    uvloop.run(
        serve(
            sys.argv[1:],
            os.environ,  # noqa: TID251 the one reader of this process
            on_ready=lambda: print("ready", flush=True),  # noqa: T201
        )
    )
