"""The bank's process: SIGHUP reopens its log and ends nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.chassis.toy.child import free_port

PATIENCE_SECONDS = 60
SECRET = "0123456789abcdef0123456789abcdef"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_open(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.no_cover
def test_sighup_does_not_end_the_bank(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["bank", f"--port={port}", f"--data={tmp_path / 'books'}", "--webhook-url=http://x"]
    environ = {"PATH": os.environ["PATH"], "BANK_SECRET": SECRET, "LOG_LEVEL": ""}  # noqa: TID251
    log = tmp_path / "bank.log"
    with log.open("ab") as stream:
        bank = subprocess.Popen(
            [sys.executable, "-m", "cinesync.cli.main", *arguments], env=environ, stderr=stream
        )
    try:
        until(lambda: is_open(url))
        log.rename(tmp_path / "bank.log.1")
        bank.send_signal(signal.SIGHUP)
        until(log.exists)
        assert is_open(url)
        assert bank.poll() is None
    finally:
        bank.terminate()
        bank.wait(PATIENCE_SECONDS)
