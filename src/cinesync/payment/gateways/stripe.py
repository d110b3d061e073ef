"""The gateway to Stripe, through its official SDK: one PaymentIntent a payment."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import stripe

from cinesync.chassis import deadline, telemetry
from cinesync.payment.gateways import (
    ChargeOrder,
    GatewayAway,
    GatewayRefused,
    ProviderEvent,
    StatementLine,
)
from cinesync.payment.gateways.stripe_amounts import to_stripe
from cinesync.payment.gateways.stripe_lifecycle import (
    REFUND_CAUSES,
    SUBSCRIBED_EVENTS,
    charge_of,
    event_of,
    line_of,
)
from cinesync.payment.model import (
    BadNotice,
    BadSignature,
    ChargeState,
    Payment,
    ProviderCharge,
    Refund,
)
from cinesync.payment.refunds.model import ProviderRefund, RefundCause

log = telemetry.get_logger(__name__)

CALL_SECONDS_MAX: Final = 60.0  # the client's own timeouts limit single reads
ABSENT_AFTER_SECONDS: Final = 180.0  # its search index lags by up to a minute
PAGE_MAX: Final = 100


def open_stripe(
    secret_key: str, webhook_secret: str, *, api_url: str, timeout_seconds: float
) -> "StripeGateway":
    """`api_url` is empty for Stripe itself."""
    http = stripe.HTTPXClient(timeout=timeout_seconds)
    client = stripe.StripeClient(
        secret_key,
        base_addresses={"api": api_url or stripe.DEFAULT_API_BASE},
        http_client=http,
        max_network_retries=0,  # the reconciler retries; a customer waits for this call
    )
    return StripeGateway(client, http, webhook_secret)


@dataclass(frozen=True, slots=True)
class StripeGateway:
    """Idempotency keys are our payment and refund ids; `metadata` has them too."""

    client: stripe.StripeClient
    http: stripe.HTTPXClient
    webhook_secret: str
    absent_after_seconds: float = ABSENT_AFTER_SECONDS
    name: str = "stripe"

    async def charge(self, order: ChargeOrder) -> ProviderCharge:
        params: dict[str, Any] = {
            "amount": to_stripe(order.amount_cents, order.currency),
            "currency": order.currency.lower(),
            "payment_method": order.token,
            "payment_method_types": ["card"],
            "confirm": True,
            "metadata": {"payment_id": str(order.payment_id)},
        }
        if order.return_url:
            params["return_url"] = order.return_url
        try:
            async with _translated():
                intent = await self.client.v1.payment_intents.create_async(
                    params,  # type: ignore[arg-type]  # a TypedDict there
                    {"idempotency_key": str(order.payment_id)},
                )
        except stripe.CardError as error:
            return _declined(error, order)
        return charge_of(intent.to_dict())

    async def find(self, payment: Payment) -> list[ProviderCharge]:
        async with _translated():
            if payment.charge_id:
                intent = await self.client.v1.payment_intents.retrieve_async(payment.charge_id)
                return [charge_of(intent.to_dict())]
            query = f"metadata['payment_id']:'{payment.payment_id}'"
            found = await self.client.v1.payment_intents.search_async({"query": query})
            return [charge_of(intent.to_dict()) for intent in found.data]

    async def cancel(self, charge: ProviderCharge) -> ProviderCharge:
        async with _translated():
            try:
                intent = await self.client.v1.payment_intents.cancel_async(charge.charge_id)
            except stripe.InvalidRequestError:
                # Too late: it is decided.
                intent = await self.client.v1.payment_intents.retrieve_async(charge.charge_id)
            return charge_of(intent.to_dict())

    async def refund(self, refund: Refund) -> ProviderRefund:
        async with _translated():
            made = await self.client.v1.refunds.create_async(
                {
                    "payment_intent": refund.charge_id,
                    "amount": to_stripe(refund.amount_cents, refund.currency),
                    "metadata": {"refund_id": str(refund.refund_id)},
                },
                {"idempotency_key": str(refund.refund_id)},
            )
        return _report(made.to_dict(), refund, self.name)

    async def find_refund(self, refund: Refund) -> ProviderRefund:
        async with _translated():
            found = await self.client.v1.refunds.retrieve_async(refund.provider_refund_id)
        return _report(found.to_dict(), refund, self.name)

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent | None:
        signature = headers.get("stripe-signature", "")
        try:
            event = stripe.Webhook.construct_event(body, signature, self.webhook_secret)
        except (ValueError, stripe.SignatureVerificationError) as error:
            raise BadSignature from error
        return event_of(event.to_dict(), self.name)

    async def events(self, since: datetime, after: str) -> tuple[list[ProviderEvent], str]:
        """Stripe keeps its events for 30 days."""
        page: dict[str, Any] = {
            "types": list(SUBSCRIBED_EVENTS),
            "created": {"gte": int(since.timestamp())},
            "limit": PAGE_MAX,
        }
        async with _translated():
            listed = await self.client.v1.events.list_async(
                page | ({"starting_after": after} if after else {})  # type: ignore[arg-type]
            )
        read = [_event(event.to_dict(), self.name) for event in listed.data]
        events = [event for event in read if event is not None]
        return events, listed.data[-1].id if listed.has_more else ""

    async def ping(self) -> None:
        async with _translated():
            await self.client.v1.balance.retrieve_async()

    async def close(self) -> None:
        await self.http.close_async()  # type: ignore[no-untyped-call]

    async def statement(self, after: str) -> tuple[list[StatementLine], str]:
        """The balance transactions that are payments, refunds and disputes, the newest first."""
        page: dict[str, Any] = {"limit": PAGE_MAX, "expand": ["data.source"]}
        async with _translated():
            found = await self.client.v1.balance_transactions.list_async(
                page | ({"starting_after": after} if after else {})  # type: ignore[arg-type]
            )
        lines = [line_of(one.to_dict()) for one in found.data]
        known = [line for line in lines if line is not None]
        return known, found.data[-1].id if found.has_more else ""


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Stripe's errors as ours: refused if nothing can have happened, away if it may have."""
    try:
        async with asyncio.timeout(deadline.remaining(CALL_SECONDS_MAX)):
            yield
    except TimeoutError as error:
        raise GatewayAway("no response before the request's deadline") from error
    except stripe.CardError:
        raise
    except stripe.InvalidRequestError as error:
        raise GatewayRefused(error.code or str(error)) from error
    except stripe.StripeError as error:
        raise GatewayAway(repr(error)) from error


def _report(refund: Mapping[str, Any], ours: Refund, provider: str) -> ProviderRefund:
    """Stripe's report of a refund that we requested."""
    cause = REFUND_CAUSES.get(refund["status"], RefundCause.ACCEPTED)
    return ProviderRefund(
        provider=provider,
        provider_refund_id=refund["id"],
        charge_id=ours.charge_id,
        amount_cents=ours.amount_cents,
        currency=ours.currency,
        cause=cause,
        refund_id=ours.refund_id,
        error=refund.get("failure_reason") or "",
    )


def _event(event: Mapping[str, Any], provider: str) -> ProviderEvent | None:
    try:
        return event_of(event, provider)
    except BadNotice:
        log.warning("stripe.bad_event", event_id=event.get("id"))
        return None


def _declined(error: stripe.CardError, order: ChargeOrder) -> ProviderCharge:
    """Stripe refuses a card by an error that has the PaymentIntent."""
    content: dict[str, Any] = error.json_body if isinstance(error.json_body, dict) else {}
    body = content.get("error", {})
    return ProviderCharge(
        charge_id=body.get("payment_intent", {}).get("id", ""),
        state=ChargeState.DECLINED,
        amount_cents=order.amount_cents,
        currency=order.currency,
        reason=body.get("decline_code") or error.code or "card_declined",
    )
