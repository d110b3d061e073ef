"""Commands on refunds and disputes. Each runs in one transaction and locks its payments."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from prometheus_client import Counter

from cinesync.chassis import audit_log, clock, telemetry
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.booking import BookingCancelled, BookingReduced, BookingRefused
from cinesync.contracts.payment import PaymentDisputed, PaymentRefunded, PaymentRefundFailed
from cinesync.payment import store
from cinesync.payment.model import (
    NothingToRetry,
    Payment,
    PaymentAuditAction,
    Refund,
    RefundRequest,
    RefundStatus,
    UnknownPayment,
    UnknownRefund,
    refund_for,
)
from cinesync.payment.refunds import store as refund_store
from cinesync.payment.refunds.model import (
    UNDECIDED,
    Dispute,
    DisputeStatus,
    PaymentRefunds,
    ProviderDispute,
    ProviderRefund,
    changes_dispute,
    loss_of,
)

log = telemetry.get_logger(__name__)

ATTENTION = Counter(
    "cinesync_payment_attention_total", "Refunds and disputes that need attention.", ["kind"]
)


async def refund_bookings(
    tx: Transaction, events: Sequence[BookingRefused | BookingCancelled | BookingReduced]
) -> None:
    """Refund payments by the amount that booking states: once for each event, so that a payment
    may be refunded in parts."""
    requests = {
        f"event:{event.event_id}": RefundRequest(
            source=f"event:{event.event_id}",
            payment_id=event.payment_id,
            amount_cents=event.refund_cents,
            reason=event.reason,
        )
        for event in events
    }
    known = await refund_store.refund_sources(tx, list(requests))
    payments = await store.lock_payments(tx, [one.payment_id for one in requests.values()])
    refunds: list[Refund] = []
    for request in (request for source, request in requests.items() if source not in known):
        if request.payment_id not in payments:
            raise UnknownPayment(payment_id=request.payment_id)
        payment = payments[request.payment_id]
        refund = refund_for(payment, request, clock.new_id())
        if refund is not None:
            requested_cents = payment.refund_asked_cents + refund.amount_cents
            payments[request.payment_id] = payment.with_refunds_requested(requested_cents)
            refunds.append(refund)
    if refunds:
        await refund_store.insert_refunds(tx, refunds)
        changed = {refund.payment_id for refund in refunds}
        await store.update_payments(tx, [payments[payment_id] for payment_id in changed])


async def apply_refunds(tx: Transaction, reports: Sequence[ProviderRefund]) -> int:
    """Apply what providers report of refunds, whoever requested them. Returns how many are of our
    charges; the others are skipped."""
    owners = await _owners(tx, reports)
    ours = [report for report in reports if _key(report) in owners]
    if ours:
        payment_ids = {payment_id for payment_id, _ in owners.values()}
        found = await _lock(tx, payment_ids)
        for report in ours:
            payment_id, surplus = owners[_key(report)]
            found[payment_id].apply(report, [clock.new_id(), clock.new_id()], surplus=surplus)
        await outbox.append(tx, await _write(tx, found.values()))
    return len(ours)


async def apply_dispute(tx: Transaction, report: ProviderDispute) -> None:
    """Apply what a provider reports of a dispute. Raises UnknownPayment."""
    captures = await refund_store.captures_of_charges(tx, report.provider, [report.charge_id])
    if report.charge_id not in captures:
        raise UnknownPayment
    payment_id, surplus = captures[report.charge_id]
    refunds = (await _lock(tx, [payment_id]))[payment_id]
    ids = [report.provider_dispute_id]
    known = (await refund_store.disputes_by_provider_id(tx, report.provider, ids)).get(ids[0])
    if not changes_dispute(known, report):
        return
    dispute = _dispute(report, known.dispute_id if known else clock.new_id(), payment_id)
    await refund_store.upsert_dispute(tx, dispute)
    if report.status is DisputeStatus.LOST:
        refunds.apply(loss_of(report), [clock.new_id(), clock.new_id()], surplus=surplus)
    events = await _write(tx, [refunds])
    disputed = _disputed(dispute, refunds.payment)
    await refund_store.insert_dispute_change(tx, disputed)
    await outbox.append(tx, [disputed, *events])
    if dispute.status in UNDECIDED:
        ATTENTION.labels("dispute").inc()
        log.warning(
            "payment.needs_attention",
            kind="dispute",
            dispute_id=str(dispute.dispute_id),
            payment_id=str(payment_id),
            status=dispute.status,
            due_at=str(dispute.due_at or ""),
        )


async def retry_refund(tx: Transaction, refund_id: UUID, actor: Actor) -> Refund:
    """Retry a refund for a member of staff; the refund that is pending now.

    Raises UnknownRefund, NothingToRetry.
    """
    refund = await refund_store.find_refund(tx, refund_id)
    if refund is None:
        raise UnknownRefund
    refunds = (await _lock(tx, [refund.payment_id]))[refund.payment_id]
    [refund] = [one for one in refunds.refunds if one.refund_id == refund_id]
    if refund.status not in {RefundStatus.FAILED, RefundStatus.NEEDS_ATTENTION}:
        raise NothingToRetry(refund_status=refund.status)
    new_id = clock.new_id()
    refunds.retry(refund, new_id)
    await outbox.append(tx, await _write(tx, [refunds]))
    entry = audit_log.Entry(
        actor=actor,
        action=PaymentAuditAction.REFUND_RETRIED,
        object_kind="refund",
        object_id=refund_id,
        before={"status": refund.status.value, "error": refund.last_error},
        after={"amount_cents": refund.amount_cents, "payment_id": str(refund.payment_id)},
    )
    await audit_log.append(tx, [entry])
    after = {one.refund_id: one for one in refunds.refunds}
    return after.get(new_id) or after[refund_id]


async def record_errors(
    tx: Transaction, errors: Mapping[UUID, str], attempts_max: int
) -> list[Refund]:
    """Record why refunds are not done. Returns those that need attention from now on."""
    given_up = await refund_store.record_refund_errors(tx, errors, attempts_max)
    for refund in given_up:
        _report_attention(refund)
    return given_up


def _report_attention(refund: Refund) -> None:
    ATTENTION.labels("refund").inc()
    log.warning(
        "payment.needs_attention",
        kind="refund",
        refund_id=str(refund.refund_id),
        payment_id=str(refund.payment_id),
        status=refund.status,
        why=refund.last_error,
    )


def _key(report: ProviderRefund) -> tuple[str, str, UUID | None]:
    return report.provider, report.provider_refund_id, report.refund_id


async def _owners(
    tx: Transaction, reports: Sequence[ProviderRefund]
) -> dict[tuple[str, str, UUID | None], tuple[UUID, bool]]:
    """The payment of each report on our charges, and whether the capture is surplus."""
    owners: dict[tuple[str, str, UUID | None], tuple[UUID, bool]] = {}
    for provider in sorted({report.provider for report in reports}):
        theirs = [report for report in reports if report.provider == provider]
        refund_ids = [report.refund_id for report in theirs if report.refund_id is not None]
        provider_ids = [report.provider_refund_id for report in theirs]
        refunds = await refund_store.payments_of_refunds(tx, provider, refund_ids, provider_ids)
        charge_ids = [report.charge_id for report in theirs]
        captures = await refund_store.captures_of_charges(tx, provider, charge_ids)
        for report in theirs:
            payment_id, surplus = captures.get(report.charge_id, (None, False))
            known = refunds.get(report.refund_id or "") or refunds.get(report.provider_refund_id)
            owner = known or payment_id
            if owner is not None:
                owners[_key(report)] = (owner, surplus)
    return owners


async def _lock(tx: Transaction, payment_ids: Iterable[UUID]) -> dict[UUID, PaymentRefunds]:
    payments = await store.lock_payments(tx, list(payment_ids))
    found = {payment_id: PaymentRefunds(payment, []) for payment_id, payment in payments.items()}
    for refund in await refund_store.refunds_of(tx, found):
        found[refund.payment_id].refunds.append(refund)
    return found


async def _write(tx: Transaction, payments: Iterable[PaymentRefunds]) -> list[Event]:
    """Write what changed. Returns the events to publish."""
    changed = list(payments)
    updates = [refund for one in changed for refund in one.changed.values()]
    made = [refund for one in changed for refund in one.made.values()]
    if not updates and not made:
        return []
    if updates:
        await refund_store.update_refunds(tx, updates)
    if made:
        await refund_store.insert_refunds(tx, made)
    await store.update_payments(tx, [one.payment for one in changed])
    failures: list[PaymentRefundFailed] = []
    for one in changed:
        for refund, was_done in one.failed:
            _report_attention(refund)
            failures.append(_refund_failed(refund, one.payment, was_refunded=was_done))
    if failures:
        await refund_store.insert_failures(tx, failures)
    done = [_refunded(r, one.payment) for one in changed for r in one.done]
    return [*done, *failures]


def _dispute(report: ProviderDispute, dispute_id: UUID, payment_id: UUID) -> Dispute:
    return Dispute(
        dispute_id=dispute_id,
        payment_id=payment_id,
        provider=report.provider,
        provider_dispute_id=report.provider_dispute_id,
        charge_id=report.charge_id,
        amount_cents=report.amount_cents,
        currency=report.currency,
        status=report.status,
        reason=report.reason,
        due_at=report.due_at,
    )


def _refunded(refund: Refund, payment: Payment) -> PaymentRefunded:
    return PaymentRefunded(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        refund_id=refund.refund_id,
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        amount_cents=refund.amount_cents,
        currency=refund.currency,
        reason=refund.reason,
        surplus=refund.surplus,
        unasked_cents=refund.unasked_cents,
    )


def _refund_failed(refund: Refund, payment: Payment, *, was_refunded: bool) -> PaymentRefundFailed:
    return PaymentRefundFailed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        refund_id=refund.refund_id,
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        amount_cents=refund.amount_cents,
        currency=refund.currency,
        reason=refund.reason,
        surplus=refund.surplus,
        was_refunded=was_refunded,
    )


def _disputed(dispute: Dispute, payment: Payment) -> PaymentDisputed:
    return PaymentDisputed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        dispute_id=dispute.dispute_id,
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        amount_cents=dispute.amount_cents,
        currency=dispute.currency,
        reason=dispute.reason,
        status=dispute.status.value,
    )
