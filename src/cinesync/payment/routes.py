"""HTTP routes for customers: pay, and read payments."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.datastructures import CacheControlHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody

from cinesync.chassis import telemetry
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, page_of
from cinesync.chassis.http.fast_path import FastPath, FastRequest, FastResponse, json_response
from cinesync.chassis.http.parameters import After, AnyRequest, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.http.security.authentication import SIGNED_IN, signed_in
from cinesync.payment import store
from cinesync.payment.context import PaymentContext, ThePaymentContext
from cinesync.payment.gateways.sandbox import SANDBOX
from cinesync.payment.model import (
    KEY_LENGTH_MAX,
    KeyMissing,
    Payment,
    PaymentStatus,
    UnknownPayment,
)
from cinesync.payment.payment_processor import PaymentRequest
from cinesync.payment.schemas import PayBody, PaymentView, ProviderView

PROVIDER_SECONDS: Final = 60
READS_ALL: Final = frozenset({"manager", "auditor"})
PAY: Final = msgspec.json.Decoder(PayBody)


@post(
    "/payments",
    opt=SIGNED_IN,
    responses={202: ResponseSpec(PaymentView, description="Pending; ask again at Location.")},
)
async def pay(
    data: JSONBody[PayBody],
    request: AnyRequest,
    context: ThePaymentContext,
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(name="Idempotency-Key", description="Your own name for this payment."),
    ] = None,
) -> Response[PaymentView]:
    """Pay for a hold. 201 when decided (`success` or `failed`), 202 while it is pending."""
    address = context.addresses.of(request.scope)
    payment = await _pay(context, await signed_in(request), data, idempotency_key, address)
    return Response(
        PaymentView.of(payment),
        status_code=_status(payment),
        headers={"location": _location(payment)},
    )


def fast_paths(context: PaymentContext) -> Sequence[FastPath]:
    """`pay` without the framework: the second request of every purchase (ADR 13)."""

    async def fast_pay(request: FastRequest) -> FastResponse | None:
        body = request.json(PAY)
        if body is None:
            return None
        key = request.header(b"idempotency-key")
        address = context.addresses.of(request.scope)
        payment = await _pay(context, await request.caller(), body, key, address)
        location = b"location", _location(payment).encode()
        return json_response(_status(payment), PaymentView.of(payment), location)

    return [FastPath("POST", "/api/payment/payments", fast_pay)]


async def _pay(
    context: PaymentContext,
    caller: Caller,
    body: PayBody,
    idempotency_key: str | None,
    address: str,
) -> Payment:
    """Raises KeyMissing, and what PaymentProcessor.pay raises."""
    if not idempotency_key or len(idempotency_key) > KEY_LENGTH_MAX:
        raise KeyMissing
    returns = bool(body.return_path and context.shop_url)
    telemetry.note(booking_id=body.hold_id)
    payment = await context.processor.pay(
        PaymentRequest(
            customer_id=caller.customer_id,
            bearer=caller.token,
            idempotency_key=idempotency_key,
            hold_id=body.hold_id,
            provider=body.provider,
            token=body.token,
            return_url=f"{context.shop_url}{body.return_path}" if returns else "",
            address=address,
        )
    )
    telemetry.note(payment_id=payment.payment_id)
    return payment


def _status(payment: Payment) -> int:
    """202 while it is not decided (RFC 9110 section 15.3.3)."""
    return 202 if payment.status is PaymentStatus.PENDING else 201


def _location(payment: Payment) -> str:
    return f"/api/payment/payments/{payment.payment_id}"


@get("/provider", cache_control=CacheControlHeader(public=True, max_age=PROVIDER_SECONDS))
async def provider(context: ThePaymentContext) -> ProviderView:
    """The payment provider of this shop, for the pages that take payments."""
    name = context.processor.provider
    return ProviderView(name, takes_test_cards=name == SANDBOX)


@get("/payments")
async def payments(
    caller: SignedInCaller,
    context: ThePaymentContext,
    after: After = None,
    limit: Limit = 20,
) -> Page[PaymentView]:
    """One's own payments, the newest first."""
    before = decode_cursor(after, instant, UUID)
    found = await context.db.run_one(
        store.payments_of_customer, caller.customer_id, before, limit + 1
    )
    page = page_of(found, limit, lambda payment: (payment.created_at, payment.payment_id))
    return Page([PaymentView.of(payment) for payment in page.items], page.next)


@get("/payments/{payment_id:uuid}")
async def payment_by_id(
    payment_id: FromPath[UUID], caller: SignedInCaller, context: ThePaymentContext
) -> PaymentView:
    """One payment: one's own, or anyone's for managers and auditors."""
    payment = await context.db.run_one(store.find_payment, payment_id)
    if payment is None or not _may_read(caller, payment):
        raise UnknownPayment
    return PaymentView.of(payment)


def _may_read(caller: Caller, payment: Payment) -> bool:
    return caller.customer_id == payment.customer_id or caller.role in READS_ALL


def router(context: PaymentContext) -> Router:
    """Routes under /api/payment."""
    return Router(
        "/api/payment",
        route_handlers=[pay, provider, payments, payment_by_id],
        dependencies=context.dependencies(),
    )
