"""What the payment service tells the others: money taken, not taken, given back."""

from typing import ClassVar
from uuid import UUID

from cinesync.chassis.messaging.event import Event


class PaymentSuccess(Event, frozen=True, kw_only=True):
    """The provider captured `amount_cents` for a hold."""

    name: ClassVar[str] = "payment.success"

    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    provider: str


class PaymentFailed(Event, frozen=True, kw_only=True):
    """The provider took nothing; the hold stays and may be paid in another way."""

    name: ClassVar[str] = "payment.failed"

    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    reason: str


class PaymentRefunded(Event, frozen=True, kw_only=True):
    """`amount_cents` of a payment went back. `reason` is that of the event that asked for it;
    "provider" when staff gave it back there, "dispute_lost" when a dispute took it.

    `surplus` money was captured beside the payment itself: no booking ever stood for it.
    `unasked_cents` of it no booking had asked for.
    """

    name: ClassVar[str] = "payment.refunded"

    refund_id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    reason: str
    surplus: bool
    unasked_cents: int = 0


class PaymentRefundFailed(Event, frozen=True, kw_only=True):
    """The provider could not give money back; a person has to see to it.

    `was_refunded`: it had told before that it did, so that a `payment.refunded` is taken back.
    """

    name: ClassVar[str] = "payment.refund.failed"

    refund_id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    reason: str
    surplus: bool
    was_refunded: bool


class PaymentDisputed(Event, frozen=True, kw_only=True):
    """A card holder disputes a payment with their bank; one for each state of the dispute.

    `status` is "inquiry", "open", "won", "lost", "closed" (it stayed an inquiry) or "prevented".
    Money that a lost dispute takes is told as `payment.refunded`, too.
    """

    name: ClassVar[str] = "payment.disputed"

    dispute_id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    reason: str
    status: str
