"""Refunds and disputes: their states, and what a provider's reports change. Pure.

Providers report in any order, and repeatedly: a step that the table does not have changes nothing.

A refund is requested by us (for booking, or because a capture is surplus) or at the provider, by
staff in its dashboard. A refund from the dashboard first covers refunds of ours that are not made
yet, so that the customer is not refunded twice. The part beyond them is `unasked_cents`, which
booking learns from the event. A lost dispute is a refund at the provider, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from cinesync.payment.model import Payment, Refund, RefundStatus

PENDING, SUBMITTED, DONE, FAILED, NEEDS_ATTENTION, CANCELLED = RefundStatus


class RefundCause(StrEnum):
    """What changes the state: a report, our giving up, a retry, or a refund that covers it."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    RETRIED = "retried"
    COVERED = "covered"


# A failed refund stays failed at its provider: a report of its success is older. A retry makes a
# new refund.
REFUND_NEXT: Final = {
    (PENDING, RefundCause.ACCEPTED): SUBMITTED,
    (PENDING, RefundCause.SUCCEEDED): DONE,
    (PENDING, RefundCause.FAILED): FAILED,
    (PENDING, RefundCause.GIVEN_UP): NEEDS_ATTENTION,
    (PENDING, RefundCause.COVERED): CANCELLED,
    (SUBMITTED, RefundCause.SUCCEEDED): DONE,
    (SUBMITTED, RefundCause.FAILED): FAILED,
    (DONE, RefundCause.FAILED): FAILED,
    (NEEDS_ATTENTION, RefundCause.ACCEPTED): SUBMITTED,
    (NEEDS_ATTENTION, RefundCause.SUCCEEDED): DONE,
    (NEEDS_ATTENTION, RefundCause.FAILED): FAILED,
    (NEEDS_ATTENTION, RefundCause.RETRIED): PENDING,
    (NEEDS_ATTENTION, RefundCause.COVERED): CANCELLED,
    (FAILED, RefundCause.RETRIED): CANCELLED,
    (FAILED, RefundCause.COVERED): CANCELLED,
}
NOT_MADE: Final = frozenset({PENDING, NEEDS_ATTENTION, FAILED})


class DisputeStatus(StrEnum):
    """The bank inquires (`inquiry`), or has withdrawn the money until it is decided (`open`).

    `closed` ended as an inquiry; `prevented` was resolved before it became a dispute.
    """

    INQUIRY = "inquiry"
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"
    PREVENTED = "prevented"


# From, to. A final state stays: a later report of another state is older.
DISPUTE_NEXT: Final = frozenset(
    {
        (DisputeStatus.INQUIRY, DisputeStatus.OPEN),
        (DisputeStatus.INQUIRY, DisputeStatus.WON),
        (DisputeStatus.INQUIRY, DisputeStatus.LOST),
        (DisputeStatus.INQUIRY, DisputeStatus.CLOSED),
        (DisputeStatus.INQUIRY, DisputeStatus.PREVENTED),
        (DisputeStatus.OPEN, DisputeStatus.WON),
        (DisputeStatus.OPEN, DisputeStatus.LOST),
        (DisputeStatus.OPEN, DisputeStatus.PREVENTED),
    }
)
UNDECIDED: Final = frozenset({DisputeStatus.INQUIRY, DisputeStatus.OPEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRefund:
    """A refund, as its provider reports it. `refund_id` is ours if we requested it."""

    provider: str
    provider_refund_id: str
    charge_id: str
    amount_cents: int
    currency: str
    cause: RefundCause
    refund_id: UUID | None = None
    reason: str = "provider"
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDispute:
    """A dispute, as its provider reports it. Evidence is accepted until `due_at`."""

    provider: str
    provider_dispute_id: str
    charge_id: str
    amount_cents: int
    currency: str
    status: DisputeStatus
    reason: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A row of table `disputes`."""

    dispute_id: UUID
    payment_id: UUID
    provider: str
    provider_dispute_id: str
    charge_id: str
    amount_cents: int
    currency: str
    status: DisputeStatus
    reason: str
    due_at: datetime | None


@dataclass(slots=True)
class PaymentRefunds:
    """A payment with its refunds, and what reports changed: rows to write, events to publish.

    `changed` and `made` are rows to update and to insert. `failed` says of each refund whether it
    was done before.
    """

    payment: Payment
    refunds: list[Refund]
    changed: dict[UUID, Refund] = field(default_factory=dict)
    made: dict[UUID, Refund] = field(default_factory=dict)
    done: list[Refund] = field(default_factory=list)
    failed: list[tuple[Refund, bool]] = field(default_factory=list)

    def apply(self, report: ProviderRefund, new_ids: Sequence[UUID], *, surplus: bool) -> None:
        """Apply a report. `new_ids` are two refund ids, which it may need."""
        known = self.known(report)
        if known is not None and _was_made_after_all(known, report):
            self._revive(known, report, new_ids[1])
        elif known is not None:
            self.move(known, report.cause, report.error, report.provider_refund_id)
        elif report.cause is not RefundCause.FAILED:
            self._add_from_provider(report, new_ids, surplus=surplus)

    def known(self, report: ProviderRefund) -> Refund | None:
        """The refund that is reported."""
        for refund in self.refunds:
            if refund.refund_id == report.refund_id:
                return refund
            if report.provider_refund_id == refund.provider_refund_id != "":
                return refund
        return None

    def move(
        self, refund: Refund, cause: RefundCause, error: str = "", provider_refund_id: str = ""
    ) -> None:
        """One step in the table, and its effect on the payment."""
        status = REFUND_NEXT.get((refund.status, cause))
        if status is None:
            return
        moved = replace(
            refund,
            status=status,
            last_error=error,
            was_done=refund.was_done or status is DONE,
            provider_refund_id=provider_refund_id or refund.provider_refund_id,
        )
        self._replace(moved)
        if status is DONE:
            self._count_done(moved)
        elif status is FAILED:
            was_done = refund.status is DONE
            if was_done and not refund.surplus:
                self.payment = self.payment.with_refund_failed(refund.amount_cents)
            self.failed.append((moved, was_done))
        elif status is CANCELLED and not refund.surplus:
            self._request(-refund.amount_cents)

    def retry(self, refund: Refund, refund_id: UUID) -> None:
        """Retry a refund: a failed one as a new refund, under a new key."""
        was_failed = refund.status is FAILED
        self.move(refund, RefundCause.RETRIED)
        if was_failed:
            self._make(
                replace(
                    refund,
                    refund_id=refund_id,
                    source=f"retry:{refund.refund_id}",
                    status=PENDING,
                    provider_refund_id="",
                    unasked_cents=0 if refund.was_done else refund.unasked_cents,
                    last_error="",
                    was_done=False,
                )
            )

    @property
    def left_cents(self) -> int:
        """What is left to refund after refunds that are done or submitted."""
        refunded = sum(
            refund.amount_cents
            for refund in self.refunds
            if not refund.surplus and refund.status in {SUBMITTED, DONE}
        )
        return self.payment.amount_cents - refunded

    def _add_from_provider(
        self, report: ProviderRefund, new_ids: Sequence[UUID], *, surplus: bool
    ) -> None:
        """A refund that was requested at the provider."""
        amount_cents = report.amount_cents
        if not surplus:
            amount_cents = min(amount_cents, self.left_cents)
        if amount_cents <= 0:
            return
        uncovered_cents, reasons = self._cover(report, amount_cents, new_ids[1], surplus=surplus)
        refund = Refund(
            refund_id=new_ids[0],
            source=f"provider:{report.provider}:{report.provider_refund_id}",
            payment_id=self.payment.payment_id,
            provider=report.provider,
            charge_id=report.charge_id,
            amount_cents=amount_cents,
            currency=report.currency,
            reason=report.reason if uncovered_cents or not reasons else reasons[0],
            surplus=surplus,
            status=REFUND_NEXT[PENDING, report.cause],
            provider_refund_id=report.provider_refund_id,
            unasked_cents=0 if surplus else uncovered_cents,
            was_done=report.cause is RefundCause.SUCCEEDED,
        )
        self._make(refund)
        if refund.status is DONE:
            self._count_done(refund)

    def _revive(self, refund: Refund, report: ProviderRefund, rest_id: UUID) -> None:
        """A refund of ours was cancelled as covered, but was made after all: it covers others."""
        if not refund.surplus and self.left_cents < refund.amount_cents:
            return
        uncovered_cents, _ = self._cover(
            report, refund.amount_cents, rest_id, surplus=refund.surplus
        )
        status = REFUND_NEXT[PENDING, report.cause]
        revived = replace(
            refund,
            status=status,
            provider_refund_id=report.provider_refund_id,
            unasked_cents=0 if refund.surplus else uncovered_cents,
            last_error="",
            was_done=status is DONE,
        )
        self._replace(revived)
        if not refund.surplus:
            self._request(refund.amount_cents)
        if status is DONE:
            self._count_done(revived)

    def _cover(
        self, report: ProviderRefund, amount_cents: int, rest_id: UUID, *, surplus: bool
    ) -> tuple[int, list[str]]:
        """Cancel refunds of ours, for the same charge, that this one covers. Returns the cents that
        cover none, and the reasons of the covered ones."""
        reasons: list[str] = []
        waiting = [
            refund
            for refund in self.refunds
            if refund.status in NOT_MADE
            and refund.surplus is surplus
            and refund.charge_id == report.charge_id
        ]
        for refund in waiting:
            if not amount_cents:
                break
            covered_cents = min(amount_cents, refund.amount_cents)
            amount_cents -= covered_cents
            reasons.append(refund.reason)
            self.move(refund, RefundCause.COVERED, f"covered by {report.provider_refund_id}")
            if covered_cents < refund.amount_cents:
                self._make(
                    replace(
                        refund,
                        refund_id=rest_id,
                        source=f"rest:{refund.refund_id}",
                        amount_cents=refund.amount_cents - covered_cents,
                        status=PENDING,
                        provider_refund_id="",
                        unasked_cents=0,
                        last_error="",
                        was_done=False,
                    )
                )
        return amount_cents, reasons

    def _count_done(self, refund: Refund) -> None:
        if not refund.surplus:
            self.payment = self.payment.with_refund_done(refund.amount_cents)
        self.done.append(refund)

    def _request(self, amount_cents: int) -> None:
        requested_cents = self.payment.refund_asked_cents + amount_cents
        self.payment = self.payment.with_refunds_requested(requested_cents)

    def _make(self, refund: Refund) -> None:
        self.refunds.append(refund)
        self.made[refund.refund_id] = refund
        if not refund.surplus:
            self._request(refund.amount_cents)

    def _replace(self, moved: Refund) -> None:
        self.refunds = [moved if r.refund_id == moved.refund_id else r for r in self.refunds]
        rows = self.made if moved.refund_id in self.made else self.changed
        rows[moved.refund_id] = moved


def _was_made_after_all(refund: Refund, report: ProviderRefund) -> bool:
    """One that failed and was retried has the provider's id: this report is older."""
    return (
        refund.status is CANCELLED
        and not refund.provider_refund_id
        and report.cause is not RefundCause.FAILED
    )


def changes_dispute(known: Dispute | None, report: ProviderDispute) -> bool:
    """Whether a report changes the dispute."""
    return known is None or (known.status, report.status) in DISPUTE_NEXT


def loss_of(report: ProviderDispute) -> ProviderRefund:
    """A lost dispute, as a refund."""
    return ProviderRefund(
        provider=report.provider,
        provider_refund_id=report.provider_dispute_id,
        charge_id=report.charge_id,
        amount_cents=report.amount_cents,
        currency=report.currency,
        cause=RefundCause.SUCCEEDED,
        reason="dispute_lost",
    )
