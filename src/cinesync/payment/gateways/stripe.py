"""The gateway to Stripe, through its official SDK: one PaymentIntent a payment."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import stripe

from cinesync.payment.gateways import ChargeOrder, GatewayAway, GatewayRefused, StatementLine
from cinesync.payment.gateways.stripe_lifecycle import INTENT_EVENTS, charge_of, payment_id_of
from cinesync.payment.model import (
    BadNotice,
    BadSignature,
    Charge,
    ChargeState,
    Payment,
    ProviderEvent,
    Refund,
    Report,
)

# Its search index lags behind by up to a minute.
ABSENT_AFTER_SECONDS: Final = 180.0
PAGE_MAX: Final = 100
NOT_GIVEN_BACK: Final = frozenset({"failed", "canceled"})


def open_stripe(
    secret_key: str, webhook_secret: str, *, api_url: str, timeout_seconds: float
) -> "Stripe":
    """`api_url` is empty for Stripe itself."""
    http = stripe.HTTPXClient(timeout=timeout_seconds)
    client = stripe.StripeClient(
        secret_key,
        base_addresses={"api": api_url or stripe.DEFAULT_API_BASE},
        http_client=http,
        max_network_retries=0,  # the sweep repeats; a customer waits for this call
    )
    return Stripe(client, http, webhook_secret)


@dataclass(frozen=True, slots=True)
class Stripe:
    """Idempotency keys are our payment and refund ids; `metadata` carries them back to us."""

    client: stripe.StripeClient
    http: stripe.HTTPXClient
    webhook_secret: str
    absent_after_seconds: float = ABSENT_AFTER_SECONDS
    name: str = "stripe"

    async def charge(self, order: ChargeOrder) -> Charge:
        params: dict[str, Any] = {
            "amount": order.amount_cents,
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

    async def find(self, payment: Payment) -> list[Charge]:
        async with _translated():
            if payment.charge_id:
                intent = await self.client.v1.payment_intents.retrieve_async(payment.charge_id)
                return [charge_of(intent.to_dict())]
            query = f"metadata['payment_id']:'{payment.payment_id}'"
            found = await self.client.v1.payment_intents.search_async({"query": query})
            return [charge_of(intent.to_dict()) for intent in found.data]

    async def cancel(self, charge: Charge) -> Charge:
        async with _translated():
            try:
                intent = await self.client.v1.payment_intents.cancel_async(charge.charge_id)
            except stripe.InvalidRequestError:
                # Too late: it was decided meanwhile.
                intent = await self.client.v1.payment_intents.retrieve_async(charge.charge_id)
            return charge_of(intent.to_dict())

    async def refund(self, refund: Refund) -> None:
        async with _translated():
            made = await self.client.v1.refunds.create_async(
                {
                    "payment_intent": refund.charge_id,
                    "amount": refund.amount_cents,
                    "metadata": {"refund_id": str(refund.refund_id)},
                },
                {"idempotency_key": str(refund.refund_id)},
            )
        if made.status in NOT_GIVEN_BACK:
            raise GatewayRefused(f"refund {made.id} is {made.status}")

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent | None:
        signature = headers.get("stripe-signature", "")
        try:
            event = stripe.Webhook.construct_event(body, signature, self.webhook_secret)
        except (ValueError, stripe.SignatureVerificationError) as error:
            raise BadSignature from error
        try:
            intent = event.to_dict()["data"]["object"]
            payment_id = payment_id_of(intent)
            if not INTENT_EVENTS.get(event.type) or payment_id is None:
                return None
            charge = charge_of(intent)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadNotice from error
        report = Report(provider=self.name, payment_id=payment_id, charges=[charge])
        return ProviderEvent(provider_event_id=event.id, report=report)

    async def ping(self) -> None:
        async with _translated():
            await self.client.v1.balance.retrieve_async()

    async def close(self) -> None:
        await self.http.close_async()  # type: ignore[no-untyped-call]

    async def statement(self, after: str) -> tuple[list[StatementLine], str]:
        """Intents first, then refunds; a cursor is `intents:<id>` or `refunds:<id>`."""
        part, _, last = (after or "intents:").partition(":")
        page: dict[str, Any] = {"limit": PAGE_MAX} | ({"starting_after": last} if last else {})
        async with _translated():
            if part == "intents":
                intents = await self.client.v1.payment_intents.list_async(page)  # type: ignore[arg-type]
                found = [intent.to_dict() for intent in intents.data]
                lines = [_capture_line(i) for i in found if i["status"] == "succeeded"]
                return lines, f"intents:{found[-1]['id']}" if intents.has_more else "refunds:"
            refunds = await self.client.v1.refunds.list_async(page)  # type: ignore[arg-type]
            found = [refund.to_dict() for refund in refunds.data]
            lines = [_refund_line(r) for r in found if r["status"] not in NOT_GIVEN_BACK]
            return lines, f"refunds:{found[-1]['id']}" if refunds.has_more else ""


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Stripe's errors as ours: refused when nothing can have happened, away when it may have."""
    try:
        yield
    except stripe.CardError:
        raise
    except stripe.InvalidRequestError as error:
        raise GatewayRefused(error.code or str(error)) from error
    except stripe.StripeError as error:
        raise GatewayAway(repr(error)) from error


def _declined(error: stripe.CardError, order: ChargeOrder) -> Charge:
    """A refused card comes as an error that carries the intent."""
    answer: dict[str, Any] = error.json_body if isinstance(error.json_body, dict) else {}
    body = answer.get("error", {})
    return Charge(
        charge_id=body.get("payment_intent", {}).get("id", ""),
        state=ChargeState.DECLINED,
        amount_cents=order.amount_cents,
        currency=order.currency,
        reason=body.get("decline_code") or error.code or "card_declined",
    )


def _capture_line(intent: Mapping[str, Any]) -> StatementLine:
    return StatementLine(
        "capture",
        intent["id"],
        (intent.get("metadata") or {}).get("payment_id", ""),
        intent["amount_received"],
        intent["currency"].upper(),
    )


def _refund_line(refund: Mapping[str, Any]) -> StatementLine:
    metadata = refund.get("metadata") or {}
    return StatementLine(
        "refund",
        metadata.get("refund_id", refund["id"]),
        "",
        refund["amount"],
        refund["currency"].upper(),
    )
