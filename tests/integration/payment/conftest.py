"""A payment service in process, with real PostgreSQL, the real bank, and scripted holds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
import msgspec
import pytest
import structlog
from litestar.types import ControllerRouterHandler

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.http.client import HttpClient, HttpResponse, NoResponse
from cinesync.payment import routes, staff_routes, webhook_routes
from cinesync.payment.context import PaymentContext
from cinesync.payment.gateways import PaymentGateway
from cinesync.payment.gateways.sandbox import SandboxGateway
from cinesync.payment.hold_client import HoldClient
from cinesync.payment.model import RetryPolicy
from cinesync.payment.payment_processor import PaymentProcessor
from cinesync.payment.reconciliation import audit_store
from cinesync.payment.reconciliation.provider_statement import reconcile
from cinesync.payment.reconciliation.reconciler import Reconciler
from tests.conftest import MakeClient, MakeDatabase, Sign
from tests.support.bank import SECRET, BankClient, listening, serving_here

T = TypeVar("T")

RETRY_POLICY = RetryPolicy(
    first_check_seconds=0.0, retry_seconds=0.0, ask_before_seconds=1.0, cancel_after_seconds=0.0
)
TIMEOUT_SECONDS = 1.0
HOLDS_PATH = "/api/booking/holds/read"


@dataclass
class HoldsApi:
    """A scripted booking service, which records the access tokens that it gets."""

    http_status: int = 200
    answers_max: int = 100
    status: int = 200
    state: str = "held"
    total_cents: int = 2400
    expires_in_seconds: float = 600.0
    away: bool = False
    tokens: list[str] = field(default_factory=list)

    async def call(self, _method: str, path: str, *, body: dict[str, Any]) -> HttpResponse:
        """POST /api/booking/holds/read."""
        assert path == HOLDS_PATH
        if self.away:
            raise NoResponse("booking is down")
        self.tokens += [query.token for query in body["items"]]
        items = [self._item(query.hold_id) for query in body["items"]][: self.answers_max]
        return HttpResponse(self.http_status, msgspec.json.encode({"items": items}))

    async def close(self) -> None:
        """Nothing is open."""

    def _item(self, hold_id: UUID) -> dict[str, Any]:
        expires_at = clock.now() + timedelta(seconds=self.expires_in_seconds)
        hold = {
            "hold_id": hold_id,
            "seats": ["F7", "F8"],
            "total_cents": self.total_cents,
            "currency": "EUR",
            "expires_at": expires_at,
            "status": self.state,
        }
        return {"status": self.status, "hold": hold if self.status == HTTPStatus.OK else None}


@dataclass
class PaymentHarness:
    """A process of the payment service, as a customer, a provider and a test see it."""

    db: Database
    holds: HoldsApi
    bank: httpx.AsyncClient
    gateway: PaymentGateway
    processor: PaymentProcessor
    reconciler: Reconciler
    client: httpx.AsyncClient
    sign: Sign
    customer_id: UUID
    webhooks_open: bool = True
    webhooks: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    async def pay(
        self, token: str = "tok_approve", key: str | None = None, **body: str
    ) -> httpx.Response:
        """POST /payments; with a new hold and a new key by default."""
        content = {"hold_id": str(clock.new_id()), "provider": "sandbox", "token": token, **body}
        headers = self.signed() | {"idempotency-key": key or str(clock.new_id())}
        return await self.client.post("/api/payment/payments", json=content, headers=headers)

    def signed(self, role: str = "customer") -> dict[str, str]:
        """Headers of the customer."""
        return {"authorization": f"Bearer {self.sign(self.customer_id, role)}"}

    async def payment(self, payment_id: str) -> dict[str, Any]:
        """GET /payments/{id}."""
        path = f"/api/payment/payments/{payment_id}"
        answer = await self.client.get(path, headers=self.signed())
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def receive_webhook(self, headers: Mapping[str, str], body: bytes) -> int:
        """Record a webhook of the bank, and pass it on if `webhooks_open`. Returns the status."""
        self.webhooks.append((headers, body))
        if not self.webhooks_open:
            return 503
        return (await self.post_webhook(headers, body)).status_code

    async def post_webhook(
        self, headers: Mapping[str, str], body: bytes, provider: str = "sandbox"
    ) -> httpx.Response:
        """POST /webhooks/{provider}."""
        path = f"/api/payment/webhooks/{provider}"
        return await self.client.post(path, content=body, headers=dict(headers))

    async def settled(self, payment_id: str, status: str) -> dict[str, Any]:
        """Waits for a status."""
        return await eventually(lambda: self._in(payment_id, status), f"{payment_id} {status}")

    async def _in(self, payment_id: str, status: str) -> dict[str, Any] | None:
        payment = await self.payment(payment_id)
        return payment if payment["status"] == status else None

    async def refund_all(self) -> None:
        """Requests refunds until none is due."""
        while await self.reconciler.refund_once():
            pass

    async def events(self, name: str = "") -> list[dict[str, Any]]:
        """The outbox, in no particular order."""
        rows = await self.select("SELECT name, body FROM outbox")
        events = [msgspec.json.decode(row.body) for row in rows]
        return [event for event in events if event["name"].startswith(name)]

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Read the database."""

        async def query(tx: Transaction) -> list[Any]:
            return list(await tx.execute(text(statement), values))

        return await self.db.read(query)

    async def change(self, statement: str, **values: Any) -> None:
        """Change the database behind the service's back."""

        async def command(tx: Transaction) -> None:
            await tx.execute(text(statement), values)

        await self.db.run(command)

    async def take_guard_off(self, ddl: str) -> None:
        """Beside the transactions, where the portability checks watch every statement."""
        async with self.db.connection() as connection:
            await connection.execute(ddl)

    async def charges(self, payment_id: str) -> list[dict[str, Any]]:
        """The bank's charges for a payment."""
        answer = await self.bank.get("/charges", params={"reference": payment_id})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def assert_money_is_conserved(self) -> None:
        """I2 in this service: no payment contradicts itself, and the bank's statement agrees."""
        assert await self.db.read(audit_store.contradictions, 10) == []
        rows = await self.select("SELECT payment_id FROM payments")
        ours = [str(row.payment_id) for row in rows]
        result = await reconcile(self.db, self.gateway)
        # The bank serves other tests too; only the payments of this one count.
        assert [t for t in result.troubles if any(name in t for name in ours)] == []
        assert [t for t in result.troubles if "of our" in t] == []


async def eventually(check: Callable[[], Awaitable[T | None]], what: str) -> T:
    """The first result that is not None."""
    try:
        async with asyncio.timeout(15):
            while (found := await check()) is None:  # noqa: ASYNC110 it is a test
                await asyncio.sleep(0.02)
            return found
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """JSON lines instead of drawings of tracebacks."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )


@pytest.fixture(scope="session")
def bank_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankClient]:
    """One bank for all tests that do not kill it."""
    bank = BankClient(tmp_path_factory.mktemp("bank") / "bank.sqlite3", hang_seconds=3.0)
    bank.open()
    yield bank
    bank.kill()


@pytest.fixture
def own_bank_client(tmp_path: Path) -> Iterator[BankClient]:
    """A bank that may be killed."""
    bank = BankClient(tmp_path / "bank.sqlite3")
    bank.open()
    yield bank
    bank.kill()


@pytest.fixture
async def bank_client_without_webhooks(tmp_path: Path) -> AsyncIterator[BankClient]:
    """A bank that serves this test only."""
    bank = BankClient(tmp_path / "bank.sqlite3", hang_seconds=3.0)
    async with serving_here(bank):
        yield bank


MakeHarness = Callable[[BankClient], Awaitable[PaymentHarness]]


@pytest.fixture
async def make_harness(
    make_database: MakeDatabase, make_client: MakeClient, sign: Sign
) -> AsyncIterator[MakeHarness]:
    """A payment service on a database of its own; with its webhook open to the bank."""
    async with AsyncExitStack() as stack:

        async def make(bank_client: BankClient) -> PaymentHarness:
            db = await make_database("payment")
            harness = build_harness(db, bank_client, make_client, sign, HoldsApi())
            stack.push_async_callback(harness.bank.aclose)
            stack.push_async_callback(harness.gateway.close)
            stack.push_async_callback(harness.processor.close)
            await stack.enter_async_context(
                listening(bank_client.shop_port, harness.receive_webhook)
            )
            return harness

        yield make


BuildBeside = Callable[[PaymentHarness, BankClient], PaymentHarness]


@pytest.fixture
async def build_beside(make_client: MakeClient, sign: Sign) -> AsyncIterator[BuildBeside]:
    """Another process on the database and holds of a harness; closed in the end."""
    async with AsyncExitStack() as stack:

        def build(harness: PaymentHarness, bank_client: BankClient) -> PaymentHarness:
            other = build_harness(harness.db, bank_client, make_client, sign, harness.holds)
            for close in (other.bank.aclose, other.gateway.close, other.processor.close):
                stack.push_async_callback(close)
            return other

        yield build


def open_holds(api: HoldsApi) -> HoldClient:
    """The client of a scripted API."""
    return HoldClient(cast("HttpClient", api))


def payment_routers(context: PaymentContext) -> list[ControllerRouterHandler]:
    """Every route of the service, except those of all services."""
    return [
        routes.router(context),
        webhook_routes.webhook_router(context),
        staff_routes.staff_router(context),
    ]


def build_harness(
    db: Database, bank_client: BankClient, make_client: MakeClient, sign: Sign, holds: HoldsApi
) -> PaymentHarness:
    """One process of the service; several may share a database."""
    bank = bank_client.client()
    bank.timeout = httpx.Timeout(TIMEOUT_SECONDS)
    key = {"authorization": f"Bearer {SECRET}"}
    gateway = SandboxGateway(
        HttpClient(bank_client.url, TIMEOUT_SECONDS, key), SECRET, absent_after_seconds=0.0
    )
    processor = PaymentProcessor(db, {"sandbox": gateway}, open_holds(holds), RETRY_POLICY)
    reconciler = Reconciler(
        db=db,
        gateway=gateway,
        processor=processor,
        retry_policy=RETRY_POLICY,
        refund_retry_seconds=0.0,
        poll_seconds=0.01,
    )
    context = PaymentContext(db, processor, "http://shop")
    client = make_client("payment", payment_routers(context), routes.fast_paths(context))
    return PaymentHarness(
        db, holds, bank, gateway, processor, reconciler, client, sign, clock.new_id()
    )


@pytest.fixture
async def harness(make_harness: MakeHarness, bank_client: BankClient) -> PaymentHarness:
    return await make_harness(bank_client)
