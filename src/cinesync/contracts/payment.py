"""Events of the payment service: money captured, refunded, disputed."""

from uuid import UUID

from cinesync.chassis.messaging.event import Event


class PaymentSuccess(Event, frozen=True, kw_only=True, tag="payment.success"):
    """The provider captured `amount_cents` for a hold."""

    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    provider: str


class PaymentFailed(Event, frozen=True, kw_only=True, tag="payment.failed"):
    """The provider captured nothing; the hold stays and may be paid in another way."""

    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    reason: str


class PaymentRefunded(Event, frozen=True, kw_only=True, tag="payment.refunded"):
    """`amount_cents` of a payment went back.

    `reason` is that of the event that requested the refund; "provider" when staff refunded at the
    provider, "dispute_lost" when a dispute took the money. `surplus`: money that was captured
    beside the payment, for no booking. `unasked_cents` of the amount were not requested by booking.
    """

    refund_id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    reason: str
    surplus: bool
    unasked_cents: int = 0


class PaymentRefundFailed(Event, frozen=True, kw_only=True, tag="payment.refund.failed"):
    """The provider could not refund; a person has to handle it.

    `was_refunded`: the provider had reported success before, and `payment.refunded` was emitted.
    """

    refund_id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    reason: str
    surplus: bool
    was_refunded: bool


class PaymentDisputed(Event, frozen=True, kw_only=True, tag="payment.disputed"):
    """A card holder disputes a payment at their bank; one event for each state of the dispute.

    `status` is "inquiry", "open", "won", "lost", "closed" (it stayed an inquiry) or "prevented".
    A lost dispute also emits `payment.refunded`.
    """

    dispute_id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    amount_cents: int
    currency: str
    reason: str
    status: str
