"""Starts the real bank as a process of its own, and kills it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

SECRET = "a secret between the shop and the bank"
PROGRAM = """
import sys, pathlib, json
from cinesync.bank.app import Settings, run
from cinesync.bank.books import Delays
given = json.loads(sys.argv[1])
run(Settings(data=pathlib.Path(given.pop("data")), delays=Delays(**given.pop("delays")), **given))
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Teller:
    """The bank's process, its address, and a client that knows the key."""

    data: Path
    webhook_url: str = "http://127.0.0.1:9/webhook"
    late_seconds: float = 0.3
    confirm_seconds: float = 60.0
    webhook_seconds: float = 0.01
    hang_seconds: float = 1.5
    webhook_retry_seconds: float = 0.05
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the bank is."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.AsyncClient:
        """A shop's client."""
        headers = {"authorization": f"Bearer {SECRET}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10)

    async def open(self) -> None:
        """Start, and return when it answers."""
        given: dict[str, Any] = {
            "data": str(self.data),
            "port": self.port,
            "webhook_url": self.webhook_url,
            "secret": SECRET,
            "hang_seconds": self.hang_seconds,
            "poll_seconds": 0.02,
            "webhook_retry_seconds": self.webhook_retry_seconds,
            "delays": {
                "late_seconds": self.late_seconds,
                "confirm_seconds": self.confirm_seconds,
                "webhook_seconds": self.webhook_seconds,
            },
        }
        self.process = await asyncio.to_thread(
            subprocess.Popen, [sys.executable, "-c", PROGRAM, json.dumps(given)]
        )
        await self._until_open()

    async def _until_open(self) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client:
            for _ in range(400):
                try:
                    await client.get("/health/live")
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)
                else:
                    return
        raise AssertionError("the bank did not open")

    def kill(self) -> None:
        """As kill -9: no last words."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As Ctrl-C; the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(timeout=20)
        self.process = None
        return status
