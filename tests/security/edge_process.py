"""The storefront, or the bank, in a process of its own, as `cinesync` starts them."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cinesync.supervisor.ports import free_port
from tests.support.eventually import wait_for
from tests.support.raw_http import connect

SECRET = "a-secret-of-the-tests-0123456789-abcdefghij"


@dataclass(frozen=True, slots=True)
class Served:
    """A running process: where it listens, and what it logged."""

    port: int
    pid: int
    log: Path

    def tracebacks(self) -> list[str]:
        """Lines that tell of an error nobody thought of."""
        words = ("Traceback", "http.crashed", "page_failed", "exception")
        return [line for line in self.log.read_text().splitlines() if any(w in line for w in words)]


@contextmanager
def storefront(
    log: Path, environ: Mapping[str, str], files: tuple[int, int] | None = None
) -> Iterator[Served]:
    """`cinesync serve web`, its APIs away. `files`: its limits, soft and hard, when not ours."""
    settings = {"API_URL": "http://127.0.0.1:9", "SECRET_KEY": SECRET, **environ}
    with _running(["serve", "web"], log, settings, files) as served:
        yield served


@contextmanager
def bank(log: Path) -> Iterator[Served]:
    """`cinesync bank`, notifying nobody."""
    port = free_port()
    arguments = ["bank", f"--port={port}", f"--data={log.with_suffix('.sqlite')}"]
    arguments.append("--webhook-url=http://127.0.0.1:9/")
    with _running(arguments, log, {"BANK_SECRET": SECRET}, port=port) as served:
        yield served


@contextmanager
def _running(
    arguments: list[str],
    log: Path,
    settings: Mapping[str, str],
    files: tuple[int, int] | None = None,
    port: int = 0,
) -> Iterator[Served]:
    port = port or free_port()
    limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, files or (0, 0))
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "cinesync.cli.main", *arguments],
            env={**os.environ, "PORT": str(port), **settings},  # noqa: TID251 a child inherits
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=limit if files else None,  # noqa: PLW1509 one system call
        )
    try:
        wait_for(lambda: process.poll() is not None or _listens(port), "it listens")
        assert process.poll() is None, log.read_text()
        yield Served(port, process.pid, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _listens(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True
