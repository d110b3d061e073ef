"""Payments: their states, the decision on what a provider reports, and what to refund. Pure."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.chassis.problems import Problem, TooMany, Unavailable

KEY_LENGTH_MAX: Final = 255
FREE: Final = "free"  # the provider of payments of 0


class PaymentAuditAction(StrEnum):
    """What this service writes to the audit log."""

    REFUND_RETRIED = "refund.retried"


class PaymentStatus(StrEnum):
    """The state of a payment."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class PaymentCause(StrEnum):
    """What changes the state. The money of a refund that fails after it was done is ours again."""

    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDED_IN_PART = "refunded_in_part"
    REFUNDED_WHOLE = "refunded_whole"
    REFUND_FAILED_IN_PART = "refund_failed_in_part"
    REFUND_FAILED_WHOLE = "refund_failed_whole"


NEXT: Final = {
    (PaymentStatus.PENDING, PaymentCause.CAPTURED): PaymentStatus.SUCCESS,
    (PaymentStatus.PENDING, PaymentCause.DECLINED): PaymentStatus.FAILED,
    (PaymentStatus.SUCCESS, PaymentCause.REFUNDED_IN_PART): PaymentStatus.PARTIALLY_REFUNDED,
    (PaymentStatus.SUCCESS, PaymentCause.REFUNDED_WHOLE): PaymentStatus.REFUNDED,
    (
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentCause.REFUNDED_IN_PART,
    ): PaymentStatus.PARTIALLY_REFUNDED,
    (PaymentStatus.PARTIALLY_REFUNDED, PaymentCause.REFUNDED_WHOLE): PaymentStatus.REFUNDED,
    (PaymentStatus.REFUNDED, PaymentCause.REFUND_FAILED_IN_PART): PaymentStatus.PARTIALLY_REFUNDED,
    (PaymentStatus.REFUNDED, PaymentCause.REFUND_FAILED_WHOLE): PaymentStatus.SUCCESS,
    (
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentCause.REFUND_FAILED_IN_PART,
    ): PaymentStatus.PARTIALLY_REFUNDED,
    (PaymentStatus.PARTIALLY_REFUNDED, PaymentCause.REFUND_FAILED_WHOLE): PaymentStatus.SUCCESS,
}


class RefundStatus(StrEnum):
    """The state of a refund. `failed`: at the provider; `needs_attention`: we gave up.

    `cancelled`: another refund covers it.
    """

    PENDING = "pending"
    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    NEEDS_ATTENTION = "needs_attention"
    CANCELLED = "cancelled"


class PaymentError(Problem):
    """The payment cannot be made."""


class KeyMissing(PaymentError):
    """A payment needs an Idempotency-Key header of 1 to 255 characters."""


class KeyReused(PaymentError):
    """This Idempotency-Key was used before, for something else."""

    status = 422


class UnknownPayment(PaymentError):
    """There is no such payment."""

    status = 404


class UnknownProvider(PaymentError):
    """We do not take payments through this provider."""

    status = 422


class UnknownHold(PaymentError):
    """There is no such hold; choose your seats again."""

    status = 404


class HoldNotPayable(PaymentError):
    """These seats are no longer held for you; choose your seats again."""

    status = 409


class AlreadyPaid(PaymentError):
    """These seats are paid for already: the booking exists."""

    status = 409


class PaymentUnderway(PaymentError):
    """Another payment for these seats is under way; wait for its end."""

    status = 409


class TooManyAttempts(TooMany):
    """Too many payments for these seats failed; choose seats again."""


class TooManyFailures(TooMany):
    """Too many payments from your network failed; please wait."""


class TokenMissing(PaymentError):
    """Say which card to charge: `token` is missing."""

    status = 422


class BookingAway(Unavailable):
    """We cannot look your seats up right now; nothing was charged, please try again."""


class BadSignature(PaymentError):
    """This webhook is not signed by the provider, or it is too old."""


class BadNotice(PaymentError):
    """This webhook is signed, but it is not as the provider documents it."""


class UnknownRefund(PaymentError):
    """There is no such refund."""

    status = 404


class NothingToRetry(PaymentError):
    """Only a refund that failed or was given up can be retried."""

    status = 409


class PaymentUndecided(PaymentError):
    """A payment cannot be refunded before it is decided."""

    status = 409

    @classmethod
    def type_uri(cls) -> str:
        """The name in the HTTP contract, which is older than the class's."""
        return "/problems/unsettled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When the reconciler polls the provider for a pending payment, in seconds.

    First after `first_check`, then with pauses that grow by `retry` each time; also `ask_before`
    its hold expires. A charge that waits for its card holder is cancelled `cancel_after` the end
    of the hold.
    """

    first_check_seconds: float = 5.0
    retry_seconds: float = 2.0
    ask_before_seconds: float = 15.0
    cancel_after_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentLimits:
    """How often a payment may fail: for one hold, and from one address within the window."""

    attempts_per_hold: int = 10
    failures_per_address: int = 60
    failure_window_seconds: float = 600.0


class ChargeState(StrEnum):
    """The state of a charge, as its provider reports it."""

    WAITING = "waiting"
    CAPTURED = "captured"
    DECLINED = "declined"


class ProviderCharge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge, as its provider reports it. `charge_id` is the provider's id."""

    charge_id: str
    state: ChargeState
    amount_cents: int
    currency: str
    reason: str = ""
    confirm_url: str = ""


class ProviderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider reports of a payment: its charges, or that there is none and why."""

    provider: str
    payment_id: UUID
    charges: Sequence[ProviderCharge] = ()
    absent_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeEvent:
    """A provider's event about a charge. `provider_event_id` makes repetitions harmless."""

    provider_event_id: str
    report: ProviderReport


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """The seats to pay for, as the booking service prices them."""

    hold_id: UUID
    total_cents: int
    currency: str
    expires_at: datetime


class StartPayment(msgspec.Struct, frozen=True, kw_only=True):
    """The command to start a payment. `fingerprint` distinguishes two uses of one key."""

    payment_id: UUID
    customer_id: UUID
    idempotency_key: str
    fingerprint: str
    hold: Hold
    provider: str
    trace: str = ""

    @property
    def key(self) -> tuple[UUID, str]:
        """Keys are each customer's own."""
        return self.customer_id, self.idempotency_key


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A row of table `payments`.

    `charge_id` is the charge it waits for or succeeded with. `refund_asked_cents` counts all
    requested refunds, `refunded_cents` those done. While it `occupies_hold`, the database refuses
    another payment for that hold.
    """

    payment_id: UUID
    customer_id: UUID
    hold_id: UUID
    provider: str
    amount_cents: int
    currency: str
    status: PaymentStatus
    created_at: datetime
    idempotency_key: str = ""
    fingerprint: str = ""
    charge_id: str = ""
    failure_reason: str = ""
    confirm_url: str = ""
    refund_asked_cents: int = 0
    refunded_cents: int = 0
    settled_at: datetime | None = None
    trace: str = ""
    occupies_hold: bool = True

    def after(self, cause: PaymentCause) -> "Payment":
        """The payment in its next state, or unchanged if the table has no such step."""
        return replace(self, status=NEXT.get((self.status, cause), self.status))

    def with_refund_done(self, amount_cents: int) -> "Payment":
        """Counts a refund that is done."""
        refunded_cents = self.refunded_cents + amount_cents
        assert refunded_cents <= self.amount_cents, "no more is refunded than was captured"
        whole = refunded_cents == self.amount_cents
        moved = self.after(PaymentCause.REFUNDED_WHOLE if whole else PaymentCause.REFUNDED_IN_PART)
        occupies = moved.occupies_hold and not whole
        return replace(moved, refunded_cents=refunded_cents, occupies_hold=occupies)

    def with_refunds_requested(self, requested_cents: int) -> "Payment":
        """With this sum of requested refunds."""
        return replace(self, refund_asked_cents=requested_cents)

    def with_refund_failed(self, amount_cents: int) -> "Payment":
        """Counts a refund that failed after it was done."""
        refunded_cents = self.refunded_cents - amount_cents
        assert refunded_cents >= 0, "only a done refund fails after it was done"
        cause = (
            PaymentCause.REFUND_FAILED_IN_PART
            if refunded_cents
            else PaymentCause.REFUND_FAILED_WHOLE
        )
        return replace(self.after(cause), refunded_cents=refunded_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A row of table `refunds`. `source` names what requested it: one refund for each.

    `surplus`: it refunds a capture that its payment does not need, and does not change the payment.
    `unasked_cents` of it were requested at the provider, not by us.
    """

    refund_id: UUID
    source: str
    payment_id: UUID
    provider: str
    charge_id: str
    amount_cents: int
    currency: str
    reason: str
    surplus: bool = False
    status: RefundStatus = RefundStatus.PENDING
    provider_refund_id: str = ""
    unasked_cents: int = 0
    last_error: str = ""
    was_done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """The request to refund a payment."""

    source: str
    payment_id: UUID
    amount_cents: int
    reason: str


class Decision(msgspec.Struct, frozen=True):
    """A payment after a report, and the captures that were not known before."""

    payment: Payment
    captures: Sequence[ProviderCharge]
    surplus: Sequence[ProviderCharge]


def decide(payment: Payment, known: Collection[str], report: ProviderReport) -> Decision:
    """Apply a report. Reports come in any order, and repeatedly.

    The first capture of the right amount decides a pending payment; every other capture,
    also of a payment that failed before, is surplus. `known` are the captures recorded before.
    """
    captures: list[ProviderCharge] = []
    surplus: list[ProviderCharge] = []
    for charge in report.charges:
        if charge.state is not ChargeState.CAPTURED or charge.charge_id in known:
            continue
        captures.append(charge)
        if payment.status is PaymentStatus.PENDING and _pays(payment, charge):
            payment = replace(
                payment.after(PaymentCause.CAPTURED), charge_id=charge.charge_id, confirm_url=""
            )
        else:
            surplus.append(charge)
    if payment.status is PaymentStatus.PENDING:
        payment = _without_capture(payment, report)
    return Decision(payment, captures, surplus)


def _pays(payment: Payment, charge: ProviderCharge) -> bool:
    return (charge.amount_cents, charge.currency) == (payment.amount_cents, payment.currency)


def _without_capture(payment: Payment, report: ProviderReport) -> Payment:
    """Wait while any charge may still be captured; fail when none can."""
    waiting = [charge for charge in report.charges if charge.state is ChargeState.WAITING]
    if waiting:
        charge = waiting[0]
        # An older report of the same charge may lack the URL.
        known_url = payment.confirm_url if payment.charge_id == charge.charge_id else ""
        return replace(
            payment, charge_id=charge.charge_id, confirm_url=charge.confirm_url or known_url
        )
    reasons = [charge.reason for charge in report.charges if charge.reason]
    reason = reasons[0] if reasons else report.absent_reason
    if not report.charges and not reason:
        return payment
    return replace(
        payment.after(PaymentCause.DECLINED),
        failure_reason=reason or "wrong_amount",
        confirm_url="",
        occupies_hold=False,
    )


def refusal_of(occupying: Payment) -> Problem:
    """Why another payment for the hold of this one is refused."""
    members = {"payment_id": occupying.payment_id}
    if occupying.status is PaymentStatus.PENDING:
        return PaymentUnderway(**members)
    if occupying.status is PaymentStatus.FAILED:
        return TooManyAttempts()
    return AlreadyPaid(**members, booking_id=occupying.hold_id)


def refund_for(payment: Payment, request: RefundRequest, refund_id: UUID) -> Refund | None:
    """The refund for a request, at most what is left to refund; None when nothing is left.

    Raises PaymentUndecided.
    """
    if payment.status is PaymentStatus.PENDING:
        raise PaymentUndecided(payment_id=payment.payment_id)
    left_cents = payment.amount_cents - payment.refund_asked_cents
    amount_cents = min(request.amount_cents, left_cents)
    if payment.status is PaymentStatus.FAILED or amount_cents <= 0:
        return None
    return Refund(
        refund_id=refund_id,
        source=request.source,
        payment_id=payment.payment_id,
        provider=payment.provider,
        charge_id=payment.charge_id,
        amount_cents=amount_cents,
        currency=payment.currency,
        reason=request.reason,
    )


def surplus_refund(payment: Payment, charge: ProviderCharge, refund_id: UUID) -> Refund:
    """The refund of a capture that its payment does not need."""
    late = payment.status is PaymentStatus.FAILED
    return Refund(
        refund_id=refund_id,
        source=f"charge:{payment.provider}:{charge.charge_id}",
        payment_id=payment.payment_id,
        provider=payment.provider,
        charge_id=charge.charge_id,
        amount_cents=charge.amount_cents,
        currency=charge.currency,
        reason="captured_after_failure" if late else "captured_twice",
        surplus=True,
    )


def fingerprint(*parts: str) -> str:
    """A digest of a request, to detect that its key is reused for another one."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()
