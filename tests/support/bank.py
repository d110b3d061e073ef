"""Starts the real bank as a process of its own, kills it, and receives its webhooks."""

import asyncio
import hmac
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import httpx
import msgspec

from cinesync.bank.app import Settings, serve
from cinesync.bank.store import Delays
from cinesync.supervisor.ports import free_port

SECRET = "a secret between the shop and the bank"
PROGRAM = """
import sys
import msgspec
from cinesync.bank.app import Settings, run
run(msgspec.json.decode(sys.argv[1], type=Settings, dec_hook=lambda kind, text: kind(text)))
"""

# From the headers and the body of a webhook to the status of the response.
WebhookHandler = Callable[[Mapping[str, str], bytes], Awaitable[int]]


@dataclass
class BankClient:
    """The bank's process, its address and its HTTP client."""

    data: Path
    shop_port: int = field(default_factory=free_port)
    late_seconds: float = 0.3
    confirm_seconds: float = 60.0
    hang_seconds: float = 1.5
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.AsyncClient:
        """An HTTP client with the shop's key."""
        headers = {"authorization": f"Bearer {SECRET}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, verify=False)

    def settings(self) -> Settings:
        """Short delays."""
        return Settings(
            data=self.data,
            port=self.port,
            webhook_url=f"http://127.0.0.1:{self.shop_port}/hook",
            secret=SECRET,
            hang_seconds=self.hang_seconds,
            poll_seconds=0.02,
            webhook_retry_seconds=0.05,
            delays=Delays(
                late_seconds=self.late_seconds,
                confirm_seconds=self.confirm_seconds,
                webhook_seconds=0.01,
            ),
        )

    def open(self) -> None:
        """Start a process, and return when it answers."""
        given = msgspec.json.encode(self.settings(), enc_hook=str).decode()
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, given])
        for _ in range(400):
            try:
                httpx.get(f"{self.url}/health/live", verify=False)
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the bank did not open")

    async def answers(self) -> None:
        """Returns when a bank answers at this address."""
        async with self.client() as client:
            for _ in range(400):
                try:
                    await client.get("/health/live")
                except httpx.HTTPError:
                    await asyncio.sleep(0.02)
                else:
                    return
        raise AssertionError("the bank did not open")

    def kill(self) -> None:
        """As kill -9."""
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


@asynccontextmanager
async def serving_here(bank_client: BankClient) -> AsyncIterator[None]:
    """The bank in this process: faster, for tests that do not kill it."""
    running = asyncio.create_task(serve(bank_client.settings()))
    await bank_client.answers()
    yield
    signal.raise_signal(signal.SIGTERM)
    await running


@asynccontextmanager
async def listening(port: int, receive_webhook: WebhookHandler) -> AsyncIterator[None]:
    """A small HTTP server for the bank's webhooks."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers["content-length"]))
            status = await receive_webhook(headers, body)
            reply = f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(reply.encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the bank was killed in the middle
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        yield


def signature_holds(signature: str, body: bytes) -> bool:
    """Computed by its definition, not by the shop's code."""
    now, _, digest = signature.removeprefix("t=").partition(",v1=")
    expected = hmac.new(SECRET.encode(), now.encode() + b"." + body, sha256).hexdigest()
    return hmac.compare_digest(digest, expected)
