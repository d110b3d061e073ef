"""What happens to bookings, as the bus tells it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.chassis import clock
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.booking import BookingCancelled, BookingConfirmed, BookingRefused
from cinesync.contracts.payment import PaymentFailed, PaymentRefunded, PaymentSuccess


def paid(booking_id: UUID, customer_id: UUID | None = None) -> PaymentSuccess:
    return PaymentSuccess(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=clock.new_id(),
        hold_id=booking_id,
        customer_id=customer_id or clock.new_id(),
        amount_cents=2400,
        currency="EUR",
        provider="sandbox",
    )


def booking_events() -> Sequence[Event]:
    """All that can happen to a booking, of one customer."""
    booking, payment, customer = clock.new_id(), clock.new_id(), clock.new_id()
    who: dict[str, Any] = {"payment_id": payment, "customer_id": customer}
    what: dict[str, Any] = {"show_id": clock.new_id(), "region": "eu", "seats": ("F7", "F8")}
    money: dict[str, Any] = {"currency": "EUR"}

    def one() -> dict[str, Any]:
        return {"event_id": clock.new_id(), "occurred_at": clock.now()}

    return (
        PaymentFailed(**one(), **who, hold_id=booking, reason="declined"),
        PaymentSuccess(
            **one(), **who, **money, hold_id=booking, amount_cents=2400, provider="sandbox"
        ),
        BookingConfirmed(
            **one(), **who, **what, **money, booking_id=booking, total_cents=2400, late=False
        ),
        BookingCancelled(
            **one(), **who, **what, **money, booking_id=booking, refund_cents=2400, reason="show"
        ),
        BookingRefused(
            **one(), **who, **money, hold_id=booking, refund_cents=2400, reason="already_paid"
        ),
        PaymentRefunded(
            **one(),
            **who,
            **money,
            refund_id=clock.new_id(),
            hold_id=booking,
            amount_cents=2400,
            reason="show",
            surplus=False,
        ),
    )
