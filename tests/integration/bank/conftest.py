"""A bank for each test, and a receiver of its webhooks."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from cinesync.chassis import clock
from tests.support.bank import BankClient, listening, serving_here, signature_holds


class WebhookReceiver:
    """Records the webhooks about one shop's payments, and responds as scripted."""

    def __init__(self, prefix: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self.signatures_hold: list[bool] = []
        self.refusals_left = 0
        self._prefix = prefix

    async def receive_webhook(self, headers: Mapping[str, str], body: bytes) -> int:
        """One webhook."""
        webhook = msgspec.json.decode(body)
        if not webhook["charge"]["reference"].startswith(self._prefix):
            return 204
        if self.refusals_left > 0:
            self.refusals_left -= 1
            return 503
        self.signatures_hold.append(signature_holds(headers["bank-signature"], body))
        self.heard.append(webhook)
        return 204

    async def hears(self, count: int) -> list[dict[str, Any]]:
        """Waits until `count` webhooks were accepted."""
        async with asyncio.timeout(15):
            while len(self.heard) < count:  # noqa: ASYNC110 it is a test
                await asyncio.sleep(0.01)
        return self.heard


class Shop:
    """A client of the bank whose payments have names of their own."""

    def __init__(self, client: httpx.AsyncClient, prefix: str) -> None:
        self.http = client
        self.prefix = prefix

    async def pay(
        self, token: str, key: str = "1", cents: int = 1200, **more: str
    ) -> httpx.Response:
        body = {"amount_cents": cents, "currency": "EUR", "token": token, **more}
        headers = {"idempotency-key": self.prefix + key}
        return await self.http.post("/charges", json=body, headers=headers)

    async def charges(self, key: str = "1") -> list[dict[str, Any]]:
        answer = await self.http.get("/charges", params={"reference": self.prefix + key})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def lines(self, page_size: int = 500) -> list[tuple[str, str, int]]:
        """What the statement says of this shop: kind, key and amount."""
        lines: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            params = {"after": after, "limit": page_size}
            page = (await self.http.get("/statement", params=params)).json()
            assert len(page["items"]) <= page_size
            lines += page["items"]
            after = page["next"]
        return [
            (line["kind"], line["reference"].removeprefix(self.prefix), line["amount_cents"])
            for line in lines
            if line["reference"].startswith(self.prefix)
        ]


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[BankClient]:
    """A bank in this very process, for tests that do not kill it."""
    bank_client = BankClient(tmp_path / "bank.sqlite3")
    async with serving_here(bank_client):
        yield bank_client


@pytest.fixture
def prefix() -> str:
    return f"{clock.new_id().hex}-"


@pytest.fixture
async def receiver(bank: BankClient, prefix: str) -> AsyncIterator[WebhookReceiver]:
    one = WebhookReceiver(prefix)
    async with listening(bank.shop_port, one.receive_webhook):
        yield one


@pytest.fixture
async def shop(bank: BankClient, prefix: str) -> AsyncIterator[Shop]:
    async with bank.client() as client:
        yield Shop(client, prefix)


@pytest.fixture
def own_bank_client(tmp_path: Path) -> Iterator[BankClient]:
    """A bank in a process of its own, to be killed."""
    bank_client = BankClient(tmp_path / "bank.sqlite3", hang_seconds=3600.0)
    bank_client.open()
    yield bank_client
    bank_client.kill()
