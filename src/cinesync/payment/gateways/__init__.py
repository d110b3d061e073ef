"""What a payment provider is to us. Never called inside a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import msgspec

from cinesync.payment.model import BadNotice, Payment, ProviderCharge, ProviderEvent, Refund
from cinesync.payment.refund_model import ProviderDispute, ProviderRefund

ProviderNotice = ProviderEvent | ProviderRefund | ProviderDispute

NUMBERS = range(-(2**63), 2**63)  # what a column of ours takes
TEXT_CHARS_MAX = 2_000
# What reading JSON of another shape, or a header of another alphabet, ends in.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class GatewayAway(Exception):
    """No clear answer: what was asked for may or may not have happened. Ask again later."""


class GatewayRefused(Exception):
    """A clear no: nothing happened, and nothing will."""


class ChargeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Money to take. `payment_id` is the provider's idempotency key."""

    payment_id: UUID
    amount_cents: int
    currency: str
    token: str
    return_url: str = ""


class LineKind(StrEnum):
    """Money that a provider moved, and how it came again."""

    CAPTURE = "capture"
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    DISPUTE = "dispute"
    DISPUTE_REVERSED = "dispute_reversed"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement. `entry_id` is the provider's name of the charge, refund or dispute.

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
        """How old a payment must be before "never heard of it" is believed."""

    async def charge(self, order: ChargeOrder) -> ProviderCharge:
        """Take money, once per payment. Raises GatewayRefused."""

    async def find(self, payment: Payment) -> list[ProviderCharge]:
        """Every charge made for a payment; empty when the provider knows of none."""

    async def cancel(self, charge: ProviderCharge) -> ProviderCharge:
        """Give up a waiting charge if that is still possible; how it stands now."""

    async def refund(self, refund: Refund) -> ProviderRefund:
        """Give money back, once per refund; how it stands now. Raises GatewayRefused."""

    async def find_refund(self, refund: Refund) -> ProviderRefund:
        """How a refund stands that it accepted before. Raises GatewayRefused."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderNotice | None:
        """A notice that matters to us, or None. Raises BadSignature, BadNotice."""

    async def notices(self, since: datetime, after: str) -> tuple[list[ProviderNotice], str]:
        """A page of what it had to tell since then, heard or not, and where the next begins."""

    async def statement(self, after: str) -> tuple[list[StatementLine], str]:
        """A page of all money moved and where the next page begins ("" at the end)."""

    async def ping(self) -> None:
        """Returns when it answers. Raises GatewayRefused."""

    async def close(self) -> None:
        """Give its connections back."""


def read_notice(
    gateway: PaymentGateway, body: bytes, headers: Mapping[str, str]
) -> ProviderNotice | None:
    """As `Gateway.read_webhook`, whatever its sender, or who knows the key, has put into it."""
    try:
        notice = gateway.read_webhook(body, headers)
    except MALFORMED as error:
        raise BadNotice from error
    if notice is not None and not _is_storable(msgspec.to_builtins(notice)):
        raise BadNotice
    return notice


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
