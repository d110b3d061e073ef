"""How refunds and disputes move, in whatever order and however often providers tell of them. Pure.

A refund is ours (booking asked for it, or money was surplus) or was made at the provider, by staff
in its dashboard. One that was made there first covers refunds of ours that are not made yet: what
staff gave back by hand is not given back again. What it goes beyond them is `unasked`, and booking
learns of it. A dispute that is lost is money given back at the provider, too.
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
    """What moves a refund: a provider's word, our giving up, a person, or other money."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    RETRIED = "retried"
    COVERED = "covered"


# A failed refund stays failed at its provider: late news of its success is old news. Trying again
# makes a new one.
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
    """A card holder's bank asks (`inquiry`), or has taken the money until it is decided (`open`).

    `closed` ended as an inquiry; `prevented` was settled before it became a dispute.
    """

    INQUIRY = "inquiry"
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"
    PREVENTED = "prevented"


# From, to. What ended stays ended: older news comes late.
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
    """What a provider says of one refund. `refund_id` is ours when we asked for it."""

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
    """What a provider says of one dispute. Evidence is taken until `due_at`."""

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
    """A payment with its refunds, as notices leave them, and what is to be written and told.

    `was_done` of `failed` says whether the money had gone back before.
    """

    payment: Payment
    refunds: list[Refund]
    changed: dict[UUID, Refund] = field(default_factory=dict)
    made: dict[UUID, Refund] = field(default_factory=dict)
    done: list[Refund] = field(default_factory=list)
    failed: list[tuple[Refund, bool]] = field(default_factory=list)

    def fold(self, notice: ProviderRefund, new_ids: Sequence[UUID], *, surplus: bool) -> None:
        """Take a notice in. `new_ids` name what it may need: two refunds."""
        known = self.known(notice)
        if known is not None and _was_made_after_all(known, notice):
            self._revive(known, notice, new_ids[1])
        elif known is not None:
            self.move(known, notice.cause, notice.error, notice.provider_refund_id)
        elif notice.cause is not RefundCause.FAILED:
            self._take_over(notice, new_ids, surplus=surplus)

    def known(self, notice: ProviderRefund) -> Refund | None:
        """The refund that a notice speaks of."""
        for refund in self.refunds:
            if refund.refund_id == notice.refund_id:
                return refund
            if notice.provider_refund_id == refund.provider_refund_id != "":
                return refund
        return None

    def move(
        self, refund: Refund, cause: RefundCause, error: str = "", provider_refund_id: str = ""
    ) -> None:
        """One step in the table, with what it does to the payment; no step: nothing."""
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
        self._keep(moved)
        if status is DONE:
            self._count_done(moved)
        elif status is FAILED:
            was_done = refund.status is DONE
            if was_done and not refund.surplus:
                self.payment = self.payment.with_refund_failed(refund.amount_cents)
            self.failed.append((moved, was_done))
        elif status is CANCELLED and not refund.surplus:
            self._ask(-refund.amount_cents)

    def retry(self, refund: Refund, refund_id: UUID) -> None:
        """A person wants it tried again: a failed one as a new one, under a new key."""
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
        """What may still go back beyond that which has gone or is on its way at the provider."""
        gone = sum(
            refund.amount_cents
            for refund in self.refunds
            if not refund.surplus and refund.status in {SUBMITTED, DONE}
        )
        return self.payment.amount_cents - gone

    def _take_over(self, notice: ProviderRefund, new_ids: Sequence[UUID], *, surplus: bool) -> None:
        """A refund that was made at the provider."""
        amount_cents = notice.amount_cents
        if not surplus:
            amount_cents = min(amount_cents, self.left_cents)
        if amount_cents <= 0:
            return
        uncovered_cents, reasons = self._cover(notice, amount_cents, new_ids[1], surplus=surplus)
        refund = Refund(
            refund_id=new_ids[0],
            source=f"provider:{notice.provider}:{notice.provider_refund_id}",
            payment_id=self.payment.payment_id,
            provider=notice.provider,
            charge_id=notice.charge_id,
            amount_cents=amount_cents,
            currency=notice.currency,
            reason=notice.reason if uncovered_cents or not reasons else reasons[0],
            surplus=surplus,
            status=REFUND_NEXT[PENDING, notice.cause],
            provider_refund_id=notice.provider_refund_id,
            unasked_cents=0 if surplus else uncovered_cents,
            was_done=notice.cause is RefundCause.SUCCEEDED,
        )
        self._make(refund)
        if refund.status is DONE:
            self._count_done(refund)

    def _revive(self, refund: Refund, notice: ProviderRefund, rest_id: UUID) -> None:
        """A refund of ours that need not be made was under way already: it covers others."""
        if not refund.surplus and self.left_cents < refund.amount_cents:
            return
        uncovered_cents, _ = self._cover(
            notice, refund.amount_cents, rest_id, surplus=refund.surplus
        )
        status = REFUND_NEXT[PENDING, notice.cause]
        revived = replace(
            refund,
            status=status,
            provider_refund_id=notice.provider_refund_id,
            unasked_cents=0 if refund.surplus else uncovered_cents,
            last_error="",
            was_done=status is DONE,
        )
        self._keep(revived)
        if not refund.surplus:
            self._ask(refund.amount_cents)
        if status is DONE:
            self._count_done(revived)

    def _cover(
        self, notice: ProviderRefund, amount_cents: int, rest_id: UUID, *, surplus: bool
    ) -> tuple[int, list[str]]:
        """Our refunds of that charge need not be made as far as the money goes: what of it is
        left, and why the others had been asked for."""
        reasons: list[str] = []
        waiting = [
            refund
            for refund in self.refunds
            if refund.status in NOT_MADE
            and refund.surplus is surplus
            and refund.charge_id == notice.charge_id
        ]
        for refund in waiting:
            if not amount_cents:
                break
            covered_cents = min(amount_cents, refund.amount_cents)
            amount_cents -= covered_cents
            reasons.append(refund.reason)
            self.move(refund, RefundCause.COVERED, f"covered by {notice.provider_refund_id}")
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

    def _ask(self, amount_cents: int) -> None:
        asked_cents = self.payment.refund_asked_cents + amount_cents
        self.payment = self.payment.with_refunds_asked(asked_cents)

    def _make(self, refund: Refund) -> None:
        self.refunds.append(refund)
        self.made[refund.refund_id] = refund
        if not refund.surplus:
            self._ask(refund.amount_cents)

    def _keep(self, moved: Refund) -> None:
        self.refunds = [moved if r.refund_id == moved.refund_id else r for r in self.refunds]
        where = self.made if moved.refund_id in self.made else self.changed
        where[moved.refund_id] = moved


def _was_made_after_all(refund: Refund, notice: ProviderRefund) -> bool:
    """One that failed and was tried again has the provider's name: that is old news."""
    return (
        refund.status is CANCELLED
        and not refund.provider_refund_id
        and notice.cause is not RefundCause.FAILED
    )


def dispute_after(known: Dispute | None, notice: ProviderDispute) -> bool:
    """Whether a notice of a dispute changes it."""
    return known is None or (known.status, notice.status) in DISPUTE_NEXT


def loss_of(notice: ProviderDispute) -> ProviderRefund:
    """A lost dispute is money that went back."""
    return ProviderRefund(
        provider=notice.provider,
        provider_refund_id=notice.provider_dispute_id,
        charge_id=notice.charge_id,
        amount_cents=notice.amount_cents,
        currency=notice.currency,
        cause=RefundCause.SUCCEEDED,
        reason="dispute_lost",
    )
