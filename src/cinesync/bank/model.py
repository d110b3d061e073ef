"""Test cards and their behaviour, the states of a charge, the signature of webhooks. Pure."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

AMOUNT_CENTS_MAX: Final = 100_000_000_000
STATEMENT_LINES_MAX: Final = 500
WEBHOOK_ATTEMPTS_MAX: Final = 200


class BankChargeState(StrEnum):
    """The state of a charge. Captured, declined and cancelled are final."""

    PENDING = "pending"
    ACTION = "requires_confirmation"
    CAPTURED = "captured"
    DECLINED = "declined"
    CANCELLED = "cancelled"


NEXT: Final = {
    (BankChargeState.PENDING, "capture"): BankChargeState.CAPTURED,
    (BankChargeState.ACTION, "capture"): BankChargeState.CAPTURED,
    (BankChargeState.ACTION, "decline"): BankChargeState.DECLINED,
    (BankChargeState.ACTION, "cancel"): BankChargeState.CANCELLED,
}


class BankError(Exception):
    """The bank cannot do this."""

    status = 400


class UnknownToken(BankError):
    """No card answers to this token."""

    status = 422


class UnknownCharge(BankError):
    """There is no such charge."""

    status = 404


class BankKeyReused(BankError):
    """This key was used before with other parameters."""

    status = 409


class RefundTooLarge(BankError):
    """More than what is left of the charge."""

    status = 422


class OutOfOrder(BankError):
    """The bank is out of order."""

    status = 503


class NotAllowed(BankError):
    """Show the bank's API key."""

    status = 401


@dataclass(frozen=True, slots=True)
class CardBehaviour:
    """What a test card does: the first state of its charge, and injected faults."""

    state: BankChargeState
    decline_code: str | None = None
    copies: int = 1
    by_webhook: bool = False
    webhook_first: bool = False
    withholds_response: bool = False


BEHAVIOURS: Final = {
    "tok_approve": CardBehaviour(BankChargeState.CAPTURED),
    "tok_decline": CardBehaviour(BankChargeState.DECLINED, decline_code="card_declined"),
    "tok_insufficient_funds": CardBehaviour(
        BankChargeState.DECLINED, decline_code="insufficient_funds"
    ),
    "tok_3ds": CardBehaviour(BankChargeState.ACTION),
    "tok_timeout_then_success": CardBehaviour(BankChargeState.CAPTURED, withholds_response=True),
    "tok_success_twice": CardBehaviour(BankChargeState.CAPTURED, copies=2, by_webhook=True),
    "tok_webhook_first": CardBehaviour(
        BankChargeState.CAPTURED, by_webhook=True, webhook_first=True
    ),
    "tok_late": CardBehaviour(BankChargeState.PENDING),
}
DOWN: Final = "tok_down"


def behaviour_of(token: str) -> CardBehaviour:
    """Raises OutOfOrder for `tok_down`, and UnknownToken."""
    if token == DOWN:
        raise OutOfOrder
    if token not in BEHAVIOURS:
        raise UnknownToken
    return BEHAVIOURS[token]


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """A request to charge a card. `reference` is the shop's idempotency key and id."""

    reference: str
    amount_cents: int
    currency: str
    token: str
    return_url: str = ""


@dataclass(frozen=True, slots=True)
class BankCharge:
    """A charge; a faulty card may be charged twice for one request."""

    charge_id: str
    reference: str
    amount_cents: int
    currency: str
    state: BankChargeState
    decline_code: str | None = None
    return_url: str = ""

    def after(self, step: str) -> "BankCharge":
        """The charge in its next state, or unchanged if the table has no such step."""
        state = NEXT.get((self.state, step), self.state)
        return replace(self, state=state)


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A request to refund a charge. `refund_id` is the shop's idempotency key."""

    refund_id: str
    charge_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """A line of the statement: money in (`capture`) or back out (`refund`), never changed."""

    seq: int
    kind: str
    entry_id: str
    charge_id: str
    reference: str
    amount_cents: int
    currency: str
    at_seconds: float


def sign(secret: str, timestamp_seconds: int, body: bytes) -> str:
    """The header `Bank-Signature`: HMAC-SHA256 over the time, a dot and the body."""
    message = str(timestamp_seconds).encode() + b"." + body
    digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return f"t={timestamp_seconds},v1={digest}"
