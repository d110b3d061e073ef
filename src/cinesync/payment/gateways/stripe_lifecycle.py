"""What Stripe's objects and events mean for a payment: tables from Stripe's documentation. Pure.

A PaymentIntent is created in `requires_payment_method` and comes back there when a card is
refused; only `last_payment_error` tells the two apart. Both `succeeded` and `canceled` are final.
https://docs.stripe.com/payments/paymentintents/lifecycle, https://docs.stripe.com/api/events/types

An event carries its object as it stood when the event was made, and Stripe promises neither order
nor single delivery. So an event is judged by what it carries, and what it carries only moves a
payment forward. `payment_intent.created` is made before the card is tried: it decides nothing.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from cinesync.payment.model import Charge, ChargeState

_WAITING: Final = ChargeState.WAITING

# By the status of a PaymentIntent.
INTENT_STATES: Final[Mapping[str, ChargeState]] = {
    "requires_payment_method": _WAITING,  # with `last_payment_error`: DECLINED
    "requires_confirmation": _WAITING,
    "requires_action": _WAITING,
    "processing": _WAITING,
    "requires_capture": _WAITING,
    "canceled": ChargeState.DECLINED,
    "succeeded": ChargeState.CAPTURED,
}
# The events of a PaymentIntent; True: its object decides.
INTENT_EVENTS: Final[Mapping[str, bool]] = {
    "payment_intent.created": False,
    "payment_intent.requires_action": True,
    "payment_intent.processing": True,
    "payment_intent.amount_capturable_updated": True,
    "payment_intent.partially_funded": False,
    "payment_intent.payment_failed": True,
    "payment_intent.canceled": True,
    "payment_intent.succeeded": True,
}
SUBSCRIBED_EVENTS: Final = (
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.succeeded",
)


def charge_of(intent: Mapping[str, Any]) -> Charge:
    """A PaymentIntent as our charge. A status that Stripe adds one day decides nothing."""
    status = intent["status"]
    state = INTENT_STATES.get(status, _WAITING)
    error = intent.get("last_payment_error") or {}
    if status == "requires_payment_method" and error:
        state = ChargeState.DECLINED
    action = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    captured = state is ChargeState.CAPTURED
    refusal = error.get("decline_code") or error.get("code") or status
    return Charge(
        charge_id=intent["id"],
        state=state,
        amount_cents=intent["amount_received"] if captured else intent["amount"],
        currency=intent["currency"].upper(),
        reason=refusal if state is ChargeState.DECLINED else "",
        confirm_url=action.get("url") or "",
    )


def payment_id_of(thing: Mapping[str, Any]) -> UUID | None:
    """The payment that an object's metadata names; None for another system's object."""
    try:
        return UUID((thing.get("metadata") or {})["payment_id"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
