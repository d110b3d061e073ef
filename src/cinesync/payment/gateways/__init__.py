"""The interface to payment providers. Never call one inside a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import msgspec

from cinesync.payment.model import BadNotice, ChargeEvent, Payment, ProviderCharge, Refund
from cinesync.payment.refunds.model import ProviderDispute, ProviderRefund

ProviderEvent = ChargeEvent | ProviderRefund | ProviderDispute

NUMBERS = range(-(2**63), 2**63)  # of a BIGINT column
TEXT_CHARS_MAX = 2_000
# Raised on JSON of another shape, and on a header that is not ASCII.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class GatewayAway(Exception):
    """No clear response: the operation may or may not have happened. Retry later."""


class GatewayRefused(Exception):
    """A clear refusal: nothing happened, and nothing will."""


class ChargeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order to charge a card. `payment_id` is the provider's idempotency key."""

    payment_id: UUID
    amount_cents: int
    currency: str
    token: str
    return_url: str = ""


class LineKind(StrEnum):
    """A movement of money, and its reversal."""

    CAPTURE = "capture"
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    DISPUTE = "dispute"
    DISPUTE_REVERSED = "dispute_reversed"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement. `entry_id` is the provider's id of the charge, refund or dispute.

    `reference` is our payment and `our_id` our refund, as far as the provider has them.
    """

    kind: LineKind
    entry_id: str
    charge_id: str
    reference: str
    amount_cents: int
    currency: str
    our_id: str = ""


class PaymentGateway(Protocol):
    """A provider. Every call may raise GatewayAway; all are safe to repeat."""

    @property
    def name(self) -> str:
        """As in `POST /payments {provider}` and in the path of its webhooks."""

    @property
    def absent_after_seconds(self) -> float:
        """The age from which a payment that the provider does not know was never charged."""

    async def charge(self, order: ChargeOrder) -> ProviderCharge:
        """Charge a card, once per payment. Raises GatewayRefused."""

    async def find(self, payment: Payment) -> list[ProviderCharge]:
        """Every charge made for a payment; empty if the provider knows none."""

    async def cancel(self, charge: ProviderCharge) -> ProviderCharge:
        """Cancel a waiting charge if that is still possible; its state now."""

    async def refund(self, refund: Refund) -> ProviderRefund:
        """Request a refund, once per refund id; its state now. Raises GatewayRefused."""

    async def find_refund(self, refund: Refund) -> ProviderRefund:
        """The state of a refund that it accepted before. Raises GatewayRefused."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent | None:
        """The event, or None for one that concerns nothing of ours.

        Raises BadSignature, BadNotice.
        """

    async def events(self, since: datetime, after: str) -> tuple[list[ProviderEvent], str]:
        """A page of its events since then, the newest first, and where the next page begins."""

    async def statement(self, after: str) -> tuple[list[StatementLine], str]:
        """A page of all money moved and where the next page begins ("" at the end)."""

    async def ping(self) -> None:
        """Returns when it answers. Raises GatewayRefused."""

    async def close(self) -> None:
        """Close its connections."""


def read_webhook(
    gateway: PaymentGateway, body: bytes, headers: Mapping[str, str]
) -> ProviderEvent | None:
    """As `PaymentGateway.read_webhook`, for a body of any content, also one that is signed.

    Raises BadSignature, BadNotice.
    """
    try:
        event = gateway.read_webhook(body, headers)
    except MALFORMED as error:
        raise BadNotice from error
    if event is not None and not _is_storable(msgspec.to_builtins(event)):
        raise BadNotice
    return event


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_CHARS_MAX and "\x00" not in value and _is_unicode(value)
    if isinstance(value, dict):
        return all(map(_is_storable, value.values()))
    if isinstance(value, list):
        return all(map(_is_storable, value))
    return not isinstance(value, int) or value in NUMBERS


def _is_unicode(text: str) -> bool:
    """Python's own JSON decoder lets lone surrogates through."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
