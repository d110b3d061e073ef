"""The bank's HTTP routes: charges, refunds, the statement, and the page that confirms a card."""

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
from cinesync.bank.schemas import (
    BODY_BYTES_MAX,
    KEY_CHARS_MAX,
    BankRefundBody,
    ChargeBody,
    ChargesView,
    ChargeView,
    StatementView,
)
from cinesync.bank.store import BankStore, ChargeResult
from cinesync.bank.webhooks import WebhookSender
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.http.fast_path import FastPath, FastRequest, FastResponse, json_response
from cinesync.chassis.http.security.client_address import is_local
from cinesync.chassis.http.strict_bodies import NoBodyTaken, UnknownMember
from cinesync.chassis.money import plain

IdempotencyKeyHeader = Annotated[
    str, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=KEY_CHARS_MAX)
]
CHARGE = msgspec.json.Decoder(ChargeBody)


@dataclass(frozen=True, slots=True)
class BankContext:
    """What the handlers work with."""

    store: BankStore
    sender: WebhookSender
    charges: Batcher[ChargeRequest, ChargeResult]
    secret: str
    public_url: str
    hang_seconds: float
    closing: asyncio.Event

    async def withhold_response(self) -> None:
        """Wait longer than any client does, but not when the bank is closing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.hang_seconds):
                await self.closing.wait()

    def view(self, charge: BankCharge) -> ChargeView:
        """The charge as the shop sees it."""
        return ChargeView.of(charge, self.public_url)


TheBankContext = NamedDependency[BankContext]


@post("/charges")
async def charge(
    data: JSONBody[ChargeBody], key: IdempotencyKeyHeader, context: TheBankContext
) -> ChargeView:
    """Charge a card. The key, the shop's own id of the payment, becomes the `reference`."""
    return await _charge(context, data, key)


def fast_paths(context: BankContext) -> Sequence[FastPath]:
    """`charge` without the framework: every purchase needs it (ADR 13)."""

    async def fast_charge(request: FastRequest) -> FastResponse | None:
        """None leaves the request to `charge`, which explains errors."""
        key = request.header(b"idempotency-key") or ""
        body = request.json(CHARGE)
        if body is None or len(request.body) > BODY_BYTES_MAX or not 0 < len(key) <= KEY_CHARS_MAX:
            return None
        try:
            check_key(context, request.header(b"authorization") or "")
            return json_response(201, await _charge(context, body, key))
        except Exception:  # noqa: BLE001 `charge` fails again: the key is the same
            return None

    return [FastPath("POST", "/charges", fast_charge)]


async def _charge(context: BankContext, body: ChargeBody, key: str) -> ChargeView:
    """Raises BankError."""
    behaviour = behaviour_of(body.token)
    request = ChargeRequest(key, body.amount_cents, body.currency, body.token, body.return_url)
    result = await context.charges.submit(request)
    if behaviour.webhook_first:
        await context.sender.deliver_of(result.charge.charge_id)
    if behaviour.withholds_response and result.is_new:
        await context.withhold_response()
    return context.view(result.charge)


@get("/charges")
async def charges(reference: FromQuery[str], context: TheBankContext) -> ChargesView:
    """Every charge with a reference; empty if the bank does not know it."""
    found = await asyncio.to_thread(context.store.charges, reference)
    return ChargesView([context.view(one) for one in found])


@post("/charges/{charge_id:str}/cancel", status_code=200)
async def cancel(charge_id: FromPath[str], context: TheBankContext) -> ChargeView:
    """Cancel a charge that waits for its card holder; returns its state now."""
    return context.view(await asyncio.to_thread(context.store.step, charge_id, "cancel"))


@post("/refunds")
async def refund(data: JSONBody[BankRefundBody], context: TheBankContext) -> StatementEntry:
    """Refund a charge, once for each `refund_id`."""
    order = RefundOrder(data.refund_id, data.charge_id, data.amount_cents)
    return await asyncio.to_thread(context.store.refund, order)


@get("/statement")
async def statement(
    context: TheBankContext,
    after: Annotated[int, QueryParameter(ge=0)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=STATEMENT_LINES_MAX)] = STATEMENT_LINES_MAX,
) -> StatementView:
    """All captures and refunds, in order."""
    lines = await asyncio.to_thread(context.store.statement, after, limit)
    return StatementView(lines, lines[-1].seq if len(lines) == limit else None)


@get("/confirm/{charge_id:str}", media_type=MediaType.HTML)
async def confirm_page(charge_id: FromPath[str], context: TheBankContext) -> str:
    """Where a card holder confirms or declines (3-D Secure)."""
    found = await asyncio.to_thread(context.store.find, charge_id)
    return _page(found)


@post("/confirm/{charge_id:str}", status_code=200)
async def confirm(
    charge_id: FromPath[str],
    context: TheBankContext,
    data: URLEncodedBody[dict[str, str]],
) -> Response[str]:
    """The card holder's answer: `answer` is `yes` or anything else."""
    step = "capture" if data.get("answer") == "yes" else "decline"
    decided = await asyncio.to_thread(context.store.step, charge_id, step)
    if decided.return_url:
        return Redirect(decided.return_url, status_code=303)
    return Response(_page(decided), media_type=MediaType.HTML)


@get("/health/live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The bank serves."""
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


async def guard_key(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """`check_key` as a guard."""
    check_key(connection.app.state.context, connection.headers.get("authorization", ""))


def check_key(context: BankContext, authorization: str) -> None:
    """A shop authenticates with the secret that it shares with the bank. Raises NotAllowed."""
    expected = f"Bearer {context.secret}".encode()
    if not hmac.compare_digest(authorization.encode(), expected):  # as bytes: str is ASCII only
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
    """The same for a body with unknown members, or a body that the route does not take."""
    body = {"code": type(problem).__name__, "title": problem.title(), "detail": problem.detail}
    return Response(body, status_code=problem.status)


def routers() -> Sequence[Router]:
    """The shop's routes need the key, the card holder's do not."""
    private = Router(
        "/", route_handlers=[charge, charges, cancel, refund, statement], guards=[guard_key]
    )
    return [private, Router("/", route_handlers=[confirm_page, confirm, live, metrics])]
