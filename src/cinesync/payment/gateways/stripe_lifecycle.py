"""What Stripe's objects and events mean for a payment: tables from Stripe's documentation. Pure.

A PaymentIntent is created in `requires_payment_method` and comes back there when a card is
refused; only `last_payment_error` distinguishes the two. Both `succeeded` and `canceled` are final.
https://docs.stripe.com/payments/paymentintents/lifecycle, https://docs.stripe.com/api/events/types

An event has its object in the state at the time of the event. Stripe guarantees neither order nor
single delivery. So the object decides, not the type of the event, and it only moves a payment
forward. Stripe sends `payment_intent.created` before it tries the card: that decides nothing.

A refund may stay `pending` for days, and one that `succeeded` may still fail: the bank returns it.
A dispute begins as an inquiry (`warning_…`), which withdraws no money, or withdraws it at once;
the winner keeps it. https://docs.stripe.com/refunds, https://docs.stripe.com/api/disputes/object
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from cinesync.chassis.money import UnknownCurrency
from cinesync.payment.gateways import LineKind, ProviderEvent, StatementLine
from cinesync.payment.gateways.stripe_amounts import from_stripe
from cinesync.payment.model import (
    BadNotice,
    ChargeEvent,
    ChargeState,
    ProviderCharge,
    ProviderReport,
)
from cinesync.payment.refunds.model import (
    DisputeStatus,
    ProviderDispute,
    ProviderRefund,
    RefundCause,
)

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
# By the status of a Refund.
REFUND_CAUSES: Final[Mapping[str, RefundCause]] = {
    "pending": RefundCause.ACCEPTED,
    "requires_action": RefundCause.ACCEPTED,
    "succeeded": RefundCause.SUCCEEDED,
    "failed": RefundCause.FAILED,
    "canceled": RefundCause.FAILED,
}
REFUND_EVENTS: Final = frozenset(
    {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
)
# By the status of a Dispute.
DISPUTE_STATES: Final[Mapping[str, DisputeStatus]] = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.CLOSED,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "prevented": DisputeStatus.PREVENTED,
}
DISPUTE_EVENTS: Final = frozenset(
    {
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }
)
# By the type of a balance transaction; a dispute is an `adjustment` whose source is a Dispute.
LINE_KINDS: Final[Mapping[str, LineKind]] = {
    "charge": LineKind.CAPTURE,
    "payment": LineKind.CAPTURE,
    "refund": LineKind.REFUND,
    "payment_refund": LineKind.REFUND,
    "refund_failure": LineKind.REFUND_FAILED,
}
SUBSCRIBED_EVENTS: Final = (
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.succeeded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
)


def charge_of(intent: Mapping[str, Any]) -> ProviderCharge:
    """A PaymentIntent as our charge. A status that we do not know decides nothing."""
    status = intent["status"]
    state = INTENT_STATES.get(status, _WAITING)
    error = intent.get("last_payment_error") or {}
    if status == "requires_payment_method" and error:
        state = ChargeState.DECLINED
    action = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    captured = state is ChargeState.CAPTURED
    refusal = error.get("decline_code") or error.get("code") or status
    return ProviderCharge(
        charge_id=intent["id"],
        state=state,
        amount_cents=_amount(intent, "amount_received" if captured else "amount"),
        currency=intent["currency"].upper(),
        reason=refusal if state is ChargeState.DECLINED else "",
        confirm_url=action.get("url") or "",
    )


def refund_of(refund: Mapping[str, Any], provider: str) -> ProviderRefund | None:
    """A Refund as our report; None for one that belongs to no PaymentIntent."""
    cause = REFUND_CAUSES.get(refund["status"] or "")
    intent = id_of(refund.get("payment_intent"))
    if cause is None or not intent:
        return None
    return ProviderRefund(
        provider=provider,
        provider_refund_id=refund["id"],
        charge_id=intent,
        amount_cents=_amount(refund, "amount"),
        currency=refund["currency"].upper(),
        cause=cause,
        refund_id=_uuid(refund, "refund_id"),
        error=refund.get("failure_reason") or "",
    )


def dispute_of(dispute: Mapping[str, Any], provider: str) -> ProviderDispute | None:
    """A Dispute as our report; None for one that belongs to no PaymentIntent."""
    status = DISPUTE_STATES.get(dispute["status"])
    intent = id_of(dispute.get("payment_intent"))
    if status is None or not intent:
        return None
    due = (dispute.get("evidence_details") or {}).get("due_by")
    return ProviderDispute(
        provider=provider,
        provider_dispute_id=dispute["id"],
        charge_id=intent,
        amount_cents=_amount(dispute, "amount"),
        currency=dispute["currency"].upper(),
        status=status,
        reason=dispute.get("reason") or "",
        due_at=datetime.fromtimestamp(due, UTC) if due else None,
    )


def event_of(event: Mapping[str, Any], provider: str) -> ProviderEvent | None:
    """An event as ours, or None if it decides nothing. Raises BadNotice."""
    kind = event.get("type")
    try:
        thing = event["data"]["object"]
        if kind in REFUND_EVENTS:
            return refund_of(thing, provider)
        if kind in DISPUTE_EVENTS:
            return dispute_of(thing, provider)
        payment_id = payment_id_of(thing)
        if not INTENT_EVENTS.get(str(kind)) or payment_id is None:
            return None
        report = ProviderReport(
            provider=provider, payment_id=payment_id, charges=[charge_of(thing)]
        )
        return ChargeEvent(provider_event_id=event["id"], report=report)
    except UnknownCurrency:
        return None  # we charge in ISO currencies only
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadNotice from error


def line_of(transaction: Mapping[str, Any]) -> StatementLine | None:
    """A balance transaction, its source expanded, as a line; None for payouts, fees and the like.

    Amounts are the source's: a balance is in the account's currency, whatever the card was
    charged in. https://docs.stripe.com/reports/balance-transaction-types
    """
    source = transaction.get("source")
    if not isinstance(source, Mapping):
        return None
    kind = LINE_KINDS.get(transaction["type"])
    if kind is None and source.get("object") == "dispute":
        is_reversal = transaction["amount"] > 0
        kind = LineKind.DISPUTE_REVERSED if is_reversal else LineKind.DISPUTE
    if kind is None:
        return None
    intent = id_of(source.get("payment_intent"))
    amount = "amount_captured" if "amount_captured" in source else "amount"
    try:
        amount_cents = _amount(source, amount)
    except UnknownCurrency:
        return None  # not ours: we charge in ISO currencies only
    metadata = source.get("metadata") or {}
    return StatementLine(
        kind,
        (intent or source["id"]) if kind is LineKind.CAPTURE else source["id"],
        intent,
        metadata.get("payment_id", ""),
        amount_cents,
        source["currency"].upper(),
        metadata.get("refund_id", ""),
    )


def id_of(expandable: Any) -> str:
    """The id of what Stripe sends as an id or as a whole object."""
    if isinstance(expandable, Mapping):
        return str(expandable.get("id") or "")
    return str(expandable or "")


def _amount(thing: Mapping[str, Any], name: str) -> int:
    return from_stripe(thing[name], thing["currency"].upper())


def payment_id_of(thing: Mapping[str, Any]) -> UUID | None:
    """The payment that an object's metadata has; None for another system's object."""
    return _uuid(thing, "payment_id")


def _uuid(thing: Mapping[str, Any], name: str) -> UUID | None:
    try:
        return UUID((thing.get("metadata") or {})[name])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
