"""A bank for each test, and an ear for its webhooks."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.bank.teller import SECRET, Teller


class Ear:
    """A tiny HTTP server that keeps what is posted to it and answers as told."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.signatures_hold: list[bool] = []
        self.refusals_left = 0
        self.url = ""

    async def hears(self, count: int) -> list[dict[str, Any]]:
        """Waits until `count` notices were accepted."""
        async with asyncio.timeout(15):
            while len(self.heard) < count:  # noqa: ASYNC110 it is a test
                await asyncio.sleep(0.01)
        return self.heard

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        refuses = self.refusals_left > 0
        self.refusals_left -= refuses
        if not refuses:
            self.signatures_hold.append(_holds(headers["bank-signature"], body))
            self.heard.append(msgspec.json.decode(body))
        status = "503 Busy" if refuses else "204 Fine"
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def _holds(signature: str, body: bytes) -> bool:
    time, _, digest = signature.removeprefix("t=").partition(",v1=")
    expected = hmac.new(SECRET.encode(), time.encode() + b"." + body, sha256).hexdigest()
    return hmac.compare_digest(digest, expected)


@asynccontextmanager
async def listening() -> AsyncIterator[Ear]:
    """An ear on a free port."""
    ear = Ear()
    server = await asyncio.start_server(ear.answer, "127.0.0.1", 0)
    ear.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield ear


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    async with listening() as one:
        yield one


@pytest.fixture
async def teller(tmp_path: Path, ear: Ear) -> AsyncIterator[Teller]:
    bank = Teller(tmp_path / "bank.sqlite3", webhook_url=ear.url)
    await bank.open()
    yield bank
    bank.kill()


@pytest.fixture
async def shop(teller: Teller) -> AsyncIterator[httpx.AsyncClient]:
    async with teller.client() as client:
        yield client
