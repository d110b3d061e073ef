"""The bank's HTTP door: charges, refunds, the statement, and the page that confirms a card."""

import asyncio
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import (
    FromPath,
    FromQuery,
    HeaderParameter,
    JSONBody,
    QueryParameter,
    URLEncodedBody,
)
from litestar.response import Redirect
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cinesync.bank.model import (
    AMOUNT_CENTS_MAX,
    STATEMENT_LINES_MAX,
    BankCharge,
    BankChargeState,
    BankError,
    ChargeRequest,
    NotAllowed,
    RefundOrder,
    StatementEntry,
    behaviour_of,
)
from cinesync.bank.store import BankStore, ChargeResult
from cinesync.bank.webhooks import WebhookSender
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.http.security.client_address import is_local
from cinesync.chassis.http.strict_bodies import NoBodyTaken, UnknownMember
from cinesync.chassis.money import decimals, plain

Cents = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_CENTS_MAX)]
BankReference = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
BODY_BYTES_MAX = 16_384
KEY_CHARS_MAX = 100
IdempotencyKeyHeader = Annotated[
    str, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=KEY_CHARS_MAX)
]


class ChargeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a shop sends to take money."""

    amount_cents: Cents
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    token: BankReference
    return_url: Annotated[str, msgspec.Meta(max_length=500)] = ""

    def __post_init__(self) -> None:
        """Raises UnknownCurrency."""
        decimals(self.currency)


class BankRefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a shop sends to give money back."""

    refund_id: BankReference
    charge_id: BankReference
    amount_cents: Cents


@dataclass(frozen=True, slots=True)
class Bank:
    """What the handlers work with."""

    books: BankStore
    sender: WebhookSender
    charges: Batcher[ChargeRequest, ChargeResult]
    secret: str
    public_url: str
    hang_seconds: float
    closing: asyncio.Event

    async def never_answer(self) -> None:
        """Longer than any client waits, but not beyond closing time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.hang_seconds):
                await self.closing.wait()

    def view(self, charge: BankCharge) -> dict[str, Any]:
        """The charge as JSON."""
        waits = charge.state is BankChargeState.ACTION
        confirm_url = f"{self.public_url}/confirm/{charge.charge_id}" if waits else None
        found: dict[str, Any] = msgspec.to_builtins(charge)
        return found | {"confirm_url": confirm_url}


TheBank = NamedDependency[Bank]


@post("/charges")
async def charge(
    data: JSONBody[ChargeBody], key: IdempotencyKeyHeader, bank: TheBank
) -> dict[str, Any]:
    """Take money. The key is the shop's own name for the payment: `reference` from then on."""
    return await charged(bank, data, key)


async def charged(bank: Bank, body: ChargeBody, key: str) -> dict[str, Any]:
    """The charge as JSON. Raises BankError."""
    plan = behaviour_of(body.token)
    order = ChargeRequest(key, body.amount_cents, body.currency, body.token, body.return_url)
    taken = await bank.charges.submit(order)
    if plan.webhook_first:
        await bank.sender.deliver_of(taken.charge.charge_id)
    if plan.answer_hangs and taken.is_new:
        await bank.never_answer()
    return bank.view(taken.charge)


@get("/charges")
async def charges(reference: FromQuery[str], bank: TheBank) -> dict[str, Any]:
    """Every charge made under a reference; empty when the bank never heard of it."""
    found = await asyncio.to_thread(bank.books.charges, reference)
    return {"items": [bank.view(one) for one in found]}


@post("/charges/{charge_id:str}/cancel", status_code=200)
async def cancel(charge_id: FromPath[str], bank: TheBank) -> dict[str, Any]:
    """Give up a charge that waits for its card holder; the answer tells how it stands now."""
    return bank.view(await asyncio.to_thread(bank.books.step, charge_id, "cancel"))


@post("/refunds")
async def refund(data: JSONBody[BankRefundBody], bank: TheBank) -> StatementEntry:
    """Give money back; the same refund_id does it once."""
    order = RefundOrder(data.refund_id, data.charge_id, data.amount_cents)
    return await asyncio.to_thread(bank.books.refund, order)


@get("/statement")
async def statement(
    bank: TheBank,
    after: Annotated[int, QueryParameter(ge=0)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=STATEMENT_LINES_MAX)] = STATEMENT_LINES_MAX,
) -> dict[str, Any]:
    """All money in and out, in order; `next` is the `after` of the following page."""
    lines = await asyncio.to_thread(bank.books.statement, after, limit)
    return {"items": lines, "next": lines[-1].seq if len(lines) == limit else None}


@get("/confirm/{charge_id:str}", media_type=MediaType.HTML)
async def confirm_page(charge_id: FromPath[str], bank: TheBank) -> str:
    """Where a card holder says yes or no (3-D Secure)."""
    found = await asyncio.to_thread(bank.books.find, charge_id)
    return _page(found)


@post("/confirm/{charge_id:str}", status_code=200)
async def confirm(
    charge_id: FromPath[str],
    bank: TheBank,
    data: URLEncodedBody[dict[str, str]],
) -> Response[str]:
    """The card holder's answer: `answer` is `yes` or anything else."""
    step = "capture" if data.get("answer") == "yes" else "decline"
    decided = await asyncio.to_thread(bank.books.step, charge_id, step)
    if decided.return_url:
        return Redirect(decided.return_url, status_code=303)
    return Response(_page(decided), media_type=MediaType.HTML)


@get("/health/live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The bank is open."""
    return {"status": "ok"}


@get("/metrics", sync_to_thread=False)
def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Prometheus text format, on the bank's own machine only."""
    if not is_local(request):
        raise NotFoundException
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _page(found: BankCharge) -> str:
    amount = escape(plain(found.amount_cents, found.currency))
    form = (
        '<form method="post"><button name="answer" value="yes">Yes, pay</button> '
        '<button name="answer" value="no">No</button></form>'
    )
    middle = (
        form if found.state is BankChargeState.ACTION else f"<p>This payment is {found.state}.</p>"
    )
    return (
        '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        f"<title>Sandbox bank</title><h1>Sandbox bank</h1><p>Pay {amount}?</p>{middle}</html>"
    )


async def check_key(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """As `check`."""
    check(connection.app.state.bank, connection.headers.get("authorization", ""))


def check(bank: Bank, authorization: str) -> None:
    """A shop proves itself with the secret it shares with the bank. Raises NotAllowed."""
    shown, expected = authorization.encode(), f"Bearer {bank.secret}".encode()
    if not hmac.compare_digest(shown, expected):  # of texts, it takes ASCII only
        raise NotAllowed


def explain(_request: Request[Any, Any, Any], error: BankError) -> Response[dict[str, str]]:
    """A refusal as JSON; `code` is for programs."""
    body = {
        "code": type(error).__name__.removeprefix("Bank"),
        "title": error.__doc__ or "",
        "detail": str(error),
    }
    return Response(body, status_code=error.status)


def explain_body(
    _request: Request[Any, Any, Any], problem: UnknownMember | NoBodyTaken
) -> Response[dict[str, str]]:
    """The same for a body with more in it than is asked for."""
    told = {"code": type(problem).__name__, "title": problem.title(), "detail": problem.detail}
    return Response(told, status_code=problem.status)


def routers() -> Sequence[Router]:
    """The shop's side behind the key, the card holder's side open."""
    private = Router(
        "/", route_handlers=[charge, charges, cancel, refund, statement], guards=[check_key]
    )
    return [private, Router("/", route_handlers=[confirm_page, confirm, live, metrics])]
