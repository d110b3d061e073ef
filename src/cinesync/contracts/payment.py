"""What the payment service tells the others: money taken, not taken, given back."""

from typing import ClassVar
from uuid import UUID

from cinesync.chassis.events import Event


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
    """`amount_cents` of a payment went back. `reason` is that of the event that asked for it.

    `surplus` money was captured beside the payment itself: no booking ever stood for it.
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
