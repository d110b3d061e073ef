"""The HTTP door: pay, look at one's payments, and the providers' webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.types import ControllerRouterHandler

from cinesync.chassis import telemetry
from cinesync.chassis.database import Database
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, page_of
from cinesync.chassis.http.parameters import After, AnyRequest, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.http.security.authentication import SIGNED_IN, signed_in
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.strict_bodies import READS_BODY
from cinesync.payment import store
from cinesync.payment.gateways import read_notice
from cinesync.payment.gateways.sandbox import SANDBOX
from cinesync.payment.model import (
    KEY_LENGTH_MAX,
    KeyMissing,
    Payment,
    PaymentStatus,
    UnknownPayment,
)
from cinesync.payment.payment_processor import PaymentProcessor, PaymentRequest

log = telemetry.get_logger(__name__)

PROVIDER_SECONDS: Final = 60
READS_ALL: Final = frozenset({"manager", "auditor"})


@dataclass(frozen=True, slots=True)
class PaymentContext:
    """What the handlers work with. `shop_url` is where a bank sends its card holder back to."""

    db: Database
    processor: PaymentProcessor
    shop_url: str
    addresses: ClientAddresses = field(default_factory=lambda: ClientAddresses("", ""))


ThePaymentContext = NamedDependency[PaymentContext]


class PayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to pay and how. The price is the hold's; `token` stands for the card.

    What costs nothing needs no token. Without a `provider` it is the one that this shop has.
    `return_path` is the page of the shop to come back to from the card's own confirmation page.
    """

    hold_id: UUID
    token: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_]{0,100}$(?!\n)")] = ""
    provider: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{0,20}$(?!\n)")] = ""
    return_path: Annotated[
        str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9_.~%-]+)*/?$(?!\n)", max_length=200)
    ] = ""


class PaymentView(msgspec.Struct, frozen=True):
    """A payment. While it is pending and `confirm_url` is set, the customer has to go there."""

    payment_id: UUID
    hold_id: UUID
    provider: str
    status: PaymentStatus
    amount_cents: int
    refunded_cents: int
    currency: str
    failure_reason: str | None
    confirm_url: str | None
    created_at: datetime
    settled_at: datetime | None


def view(payment: Payment) -> PaymentView:
    """What the customer may see."""
    return PaymentView(
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        provider=payment.provider,
        status=payment.status,
        amount_cents=payment.amount_cents,
        refunded_cents=payment.refunded_cents,
        currency=payment.currency,
        failure_reason=payment.failure_reason or None,
        confirm_url=payment.confirm_url or None,
        created_at=payment.created_at,
        settled_at=payment.settled_at,
    )


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
    payment = await paid(context, await signed_in(request), data, idempotency_key, address)
    return Response(
        view(payment), status_code=status_of(payment), headers={"location": location_of(payment)}
    )


async def paid(
    context: PaymentContext,
    caller: Caller,
    data: PayBody,
    idempotency_key: str | None,
    address: str,
) -> Payment:
    """The payment, whichever way it was asked for. Raises KeyMissing, and as Cashier.pay."""
    if not idempotency_key or len(idempotency_key) > KEY_LENGTH_MAX:
        raise KeyMissing
    returns = bool(data.return_path and context.shop_url)
    telemetry.note(booking_id=data.hold_id)
    payment = await context.processor.pay(
        PaymentRequest(
            customer_id=caller.customer_id,
            bearer=caller.token,
            idempotency_key=idempotency_key,
            hold_id=data.hold_id,
            provider=data.provider,
            token=data.token,
            return_url=f"{context.shop_url}{data.return_path}" if returns else "",
            address=address,
        )
    )
    telemetry.note(payment_id=payment.payment_id)
    return payment


def status_of(payment: Payment) -> int:
    """202 for what is not decided (RFC 9110 section 15.3.3)."""
    return 202 if payment.status is PaymentStatus.PENDING else 201


def location_of(payment: Payment) -> str:
    """Where it can be asked for."""
    return f"/api/payment/payments/{payment.payment_id}"


class ProviderView(msgspec.Struct, frozen=True):
    """Whom this shop takes money through (empty: nobody), and whether test cards pay here."""

    provider: str
    takes_test_cards: bool


@get("/provider", cache_control=CacheControlHeader(public=True, max_age=PROVIDER_SECONDS))
async def provider(context: ThePaymentContext) -> ProviderView:
    """For pages: what to ask of who wants to pay."""
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
    return Page([view(payment) for payment in page.items], page.next)


@get("/payments/{payment_id:uuid}")
async def payment_by_id(
    payment_id: FromPath[UUID], caller: SignedInCaller, context: ThePaymentContext
) -> PaymentView:
    """One payment: one's own, or anyone's for managers and auditors."""
    payment = await context.db.run_one(store.find_payment, payment_id)
    if payment is None or not _may_read(caller, payment):
        raise UnknownPayment
    return view(payment)


@post("/webhooks/{provider:str}", status_code=204, opt=READS_BODY)
async def webhook(provider: FromPath[str], request: AnyRequest, context: ThePaymentContext) -> None:
    """A provider tells us something. 204 only after it is committed; repetitions are harmless.

    What is not ours (another system may share the account) is acknowledged and ignored: otherwise
    the provider repeats it for days, and may turn the endpoint off.
    """
    gateway = context.processor.gateway(provider)
    headers = {name.lower(): value for name, value in request.headers.items()}
    event = read_notice(gateway, await request.body(), headers)
    if event is None:
        return
    try:
        await context.processor.receive(event)
    except UnknownPayment:
        log.info("webhook.not_ours", provider=provider, kind=type(event).__name__)


def routes(context: PaymentContext) -> Sequence[ControllerRouterHandler]:
    """Everything under /api/payment."""
    return [
        Router(
            "/api/payment",
            route_handlers=[pay, provider, payments, payment_by_id, webhook],
            dependencies={"context": Provide(lambda: context, sync_to_thread=False)},
        )
    ]


def _may_read(caller: Caller, payment: Payment) -> bool:
    return caller.customer_id == payment.customer_id or caller.role in READS_ALL
