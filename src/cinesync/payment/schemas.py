"""Request and response bodies of the API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from cinesync.payment.model import Payment, PaymentStatus, Refund


class PayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to pay and how. The price is the hold's; `token` stands for the card.

    A hold that costs nothing needs no token. Without a `provider` it is the one that this shop has.
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

    @classmethod
    def of(cls, payment: Payment) -> "PaymentView":
        """What the customer may see."""
        return cls(
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


class ProviderView(msgspec.Struct, frozen=True):
    """The payment provider of this shop (empty: none), and whether test cards pay here."""

    provider: str
    takes_test_cards: bool


class AttentionView(msgspec.Struct, frozen=True):
    """A refund (`needs_attention`: we gave up; `failed`: the provider could not) or a dispute
    (`inquiry` or `open`), with what is known of it. Evidence is accepted until `due_at`."""

    kind: str
    id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    provider: str
    provider_id: str
    amount_cents: int
    currency: str
    status: str
    reason: str
    error: str
    since: datetime
    due_at: datetime | None


class RefundView(msgspec.Struct, frozen=True):
    """A refund and its state."""

    refund_id: UUID
    payment_id: UUID
    amount_cents: int
    currency: str
    status: str
    reason: str

    @classmethod
    def of(cls, refund: Refund) -> "RefundView":
        """What staff may see."""
        return cls(
            refund_id=refund.refund_id,
            payment_id=refund.payment_id,
            amount_cents=refund.amount_cents,
            currency=refund.currency,
            status=refund.status.value,
            reason=refund.reason,
        )


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An undecided "payment", "refund" or "dispute"."""

    kind: str
    payment_id: UUID
    amount_cents: int
    currency: str
