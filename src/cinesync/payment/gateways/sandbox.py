"""The gateway to the sandbox bank."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from cinesync.chassis import clock
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.payment.gateways import (
    ChargeOrder,
    GatewayAway,
    GatewayRefused,
    LineKind,
    ProviderEvent,
    StatementLine,
)
from cinesync.payment.model import (
    BadNotice,
    BadSignature,
    ChargeEvent,
    ChargeState,
    Payment,
    ProviderCharge,
    ProviderReport,
    Refund,
)
from cinesync.payment.refunds.model import ProviderRefund, RefundCause

SANDBOX: Final = "sandbox"
SIGNATURE_HEADER: Final = "bank-signature"
SIGNATURE_AGE_SECONDS_MAX: Final = 300
REFUSALS: Final = frozenset({400, 404, 422})
SUCCESSES: Final = range(200, 300)
STATES: Final = {
    "pending": ChargeState.WAITING,
    "requires_confirmation": ChargeState.WAITING,
    "captured": ChargeState.CAPTURED,
    "declined": ChargeState.DECLINED,
    "cancelled": ChargeState.DECLINED,
}


class _Charge(msgspec.Struct, frozen=True):
    charge_id: str
    reference: str
    amount_cents: int
    currency: str
    state: str
    decline_code: str | None = None
    confirm_url: str | None = None


class _Event(msgspec.Struct, frozen=True):
    event_id: str
    charge: _Charge


@dataclass(frozen=True, slots=True)
class SandboxGateway:
    """Talks to `cinesync bank`, whose address, key and timeout `bank` has."""

    bank: HttpClient
    secret: str
    absent_after_seconds: float
    name: str = SANDBOX

    async def charge(self, order: ChargeOrder) -> ProviderCharge:
        body = {
            "amount_cents": order.amount_cents,
            "currency": order.currency,
            "token": order.token,
            "return_url": order.return_url,
        }
        headers = {"idempotency-key": str(order.payment_id)}
        return _charge(await self._call("POST", "/charges", body=body, headers=headers))

    async def find(self, payment: Payment) -> list[ProviderCharge]:
        params = {"reference": str(payment.payment_id)}
        response = await self._call("GET", "/charges", params=params)
        return [_charge(item) for item in response["items"]]

    async def cancel(self, charge: ProviderCharge) -> ProviderCharge:
        return _charge(await self._call("POST", f"/charges/{charge.charge_id}/cancel"))

    async def refund(self, refund: Refund) -> ProviderRefund:
        body = {
            "refund_id": str(refund.refund_id),
            "charge_id": refund.charge_id,
            "amount_cents": refund.amount_cents,
        }
        await self._call("POST", "/refunds", body=body)
        return ProviderRefund(
            provider=self.name,
            provider_refund_id=str(refund.refund_id),
            charge_id=refund.charge_id,
            amount_cents=refund.amount_cents,
            currency=refund.currency,
            cause=RefundCause.SUCCEEDED,
            refund_id=refund.refund_id,
        )

    async def find_refund(self, refund: Refund) -> ProviderRefund:
        return await self.refund(refund)  # idempotent, and done at once

    async def events(self, since: datetime, after: str) -> tuple[list[ProviderEvent], str]:  # noqa: ARG002
        """None: the bank repeats a webhook until we acknowledge it, and has no dashboard."""
        return [], ""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ChargeEvent | None:
        signature = headers.get(SIGNATURE_HEADER, "")
        check_signature(self.secret, signature, body, clock.now().timestamp())
        try:
            event = msgspec.json.decode(body, type=_Event)
            payment_id = UUID(event.charge.reference)
        except ValueError:
            return None
        try:
            charge = _charge(msgspec.structs.asdict(event.charge))
        except KeyError as error:
            raise BadNotice from error
        report = ProviderReport(provider=self.name, payment_id=payment_id, charges=[charge])
        return ChargeEvent(provider_event_id=event.event_id, report=report)

    async def statement(self, after: str) -> tuple[list[StatementLine], str]:
        response = await self._call("GET", "/statement", params={"after": after or "0"})
        lines = [
            StatementLine(
                LineKind(line["kind"]),
                line["entry_id"],
                line["charge_id"],
                line["reference"],
                line["amount_cents"],
                line["currency"],
                line["entry_id"] if line["kind"] == LineKind.REFUND else "",
            )
            for line in response["items"]
        ]
        return lines, str(response["next"] or "")

    async def ping(self) -> None:
        await self._call("GET", "/health/live")

    async def close(self) -> None:
        await self.bank.close()

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self.bank.call(method, path, **options)
            body: dict[str, Any] = response.json() or {}
        except NoResponse as error:
            raise GatewayAway(str(error)) from error
        if response.status in REFUSALS:
            raise GatewayRefused(str(body.get("code", response.status)))
        if response.status not in SUCCESSES:
            raise GatewayAway(f"{response.status} {body}")
        return body


def _charge(item: Mapping[str, Any]) -> ProviderCharge:
    return ProviderCharge(
        charge_id=item["charge_id"],
        state=STATES[item["state"]],
        amount_cents=item["amount_cents"],
        currency=item["currency"],
        reason=item["decline_code"] or "",
        confirm_url=item["confirm_url"] or "",
    )


def check_signature(secret: str, signature: str, body: bytes, now_seconds: float) -> None:
    """`t=<seconds>,v1=<hex HMAC-SHA256 of "t.body">`, not older than five minutes.

    Raises BadSignature.
    """
    time_text, _, digest = signature.removeprefix("t=").partition(",v1=")
    expected = hmac.new(secret.encode(), time_text.encode() + b"." + body, sha256).hexdigest()
    if not hmac.compare_digest(digest.encode(), expected.encode()):
        raise BadSignature
    if not time_text.isascii() or not time_text.isdecimal():
        raise BadSignature
    if abs(now_seconds - int(time_text)) > SIGNATURE_AGE_SECONDS_MAX:
        raise BadSignature("the webhook is too old")
