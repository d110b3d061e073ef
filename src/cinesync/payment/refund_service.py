"""The commands on refunds and disputes. Each runs in one transaction, its payments locked."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from prometheus_client import Counter

from cinesync.chassis import audit_log, clock, telemetry
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.payment import PaymentDisputed, PaymentRefunded, PaymentRefundFailed
from cinesync.payment import refund_store, store
from cinesync.payment.model import (
    NothingToRetry,
    Payment,
    PaymentAuditAction,
    Refund,
    RefundStatus,
    UnknownPayment,
    UnknownRefund,
)
from cinesync.payment.refund_model import (
    UNDECIDED,
    Dispute,
    DisputeStatus,
    PaymentRefunds,
    ProviderDispute,
    ProviderRefund,
    dispute_after,
    loss_of,
)

log = telemetry.get_logger(__name__)

ATTENTION = Counter(
    "cinesync_payment_attention_total", "Refunds and disputes for people to see to.", ["kind"]
)


async def take_refunds(tx: Transaction, notices: Sequence[ProviderRefund]) -> int:
    """Fold what providers said of refunds, ours and others', into the books; how many were ours
    to take. A refund of a charge that is not ours is passed over."""
    owners = await _owners(tx, notices)
    ours = [notice for notice in notices if _name(notice) in owners]
    if ours:
        payment_ids = {payment_id for payment_id, _ in owners.values()}
        books = await _open(tx, payment_ids)
        for notice in ours:
            payment_id, surplus = owners[_name(notice)]
            books[payment_id].fold(notice, [clock.new_id(), clock.new_id()], surplus=surplus)
        await _close(tx, books.values())
    return len(ours)


async def take_dispute(tx: Transaction, notice: ProviderDispute) -> None:
    """Fold what a provider said of a dispute into the books. Raises UnknownPayment."""
    captures = await refund_store.captures_named(tx, notice.provider, [notice.charge_id])
    if notice.charge_id not in captures:
        raise UnknownPayment
    payment_id, surplus = captures[notice.charge_id]
    books = (await _open(tx, [payment_id]))[payment_id]
    names = [notice.provider_dispute_id]
    known = (await refund_store.disputes_named(tx, notice.provider, names)).get(names[0])
    if not dispute_after(known, notice):
        return
    dispute = _dispute(notice, known.dispute_id if known else clock.new_id(), payment_id)
    await refund_store.put_dispute(tx, dispute)
    if notice.status is DisputeStatus.LOST:
        books.fold(loss_of(notice), [clock.new_id(), clock.new_id()], surplus=surplus)
    events = await _close(tx, [books], append=False)
    disputed = _disputed(dispute, books.payment)
    await refund_store.keep_dispute_change(tx, disputed)
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
    """A member of staff wants a refund tried again; the refund that is now made.

    Raises UnknownRefund, NothingToRetry.
    """
    refund = await refund_store.find_refund(tx, refund_id)
    if refund is None:
        raise UnknownRefund
    books = (await _open(tx, [refund.payment_id]))[refund.payment_id]
    [refund] = [one for one in books.refunds if one.refund_id == refund_id]
    if refund.status not in {RefundStatus.FAILED, RefundStatus.NEEDS_ATTENTION}:
        raise NothingToRetry(refund_status=refund.status)
    new_id = clock.new_id()
    books.retry(refund, new_id)
    await _close(tx, [books])
    entry = audit_log.Entry(
        actor=actor,
        action=PaymentAuditAction.REFUND_RETRIED,
        object_kind="refund",
        object_id=refund_id,
        before={"status": refund.status.value, "error": refund.last_error},
        after={"amount_cents": refund.amount_cents, "payment_id": str(refund.payment_id)},
    )
    await audit_log.append(tx, [entry])
    tried = {one.refund_id: one for one in books.refunds}
    return tried.get(new_id) or tried[refund_id]


async def give_up_refunds(
    tx: Transaction, errors: Mapping[UUID, str], attempts_max: int
) -> list[Refund]:
    """Note why refunds were not made; those that are left to people from now on."""
    given_up = await refund_store.note_refund_errors(tx, errors, attempts_max)
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


def _name(notice: ProviderRefund) -> tuple[str, str, UUID | None]:
    return notice.provider, notice.provider_refund_id, notice.refund_id


async def _owners(
    tx: Transaction, notices: Sequence[ProviderRefund]
) -> dict[tuple[str, str, UUID | None], tuple[UUID, bool]]:
    """The payment of each notice that concerns us, and whether its charge was surplus."""
    owners: dict[tuple[str, str, UUID | None], tuple[UUID, bool]] = {}
    for provider in sorted({notice.provider for notice in notices}):
        told = [notice for notice in notices if notice.provider == provider]
        ids = [notice.refund_id for notice in told if notice.refund_id is not None]
        names = [notice.provider_refund_id for notice in told]
        refunds = await refund_store.payments_of_refunds(tx, provider, ids, names)
        charges = [notice.charge_id for notice in told]
        captures = await refund_store.captures_named(tx, provider, charges)
        for notice in told:
            payment_id, surplus = captures.get(notice.charge_id, (None, False))
            known = refunds.get(notice.refund_id or "") or refunds.get(notice.provider_refund_id)
            owner = known or payment_id
            if owner is not None:
                owners[_name(notice)] = (owner, surplus)
    return owners


async def _open(tx: Transaction, payment_ids: Iterable[UUID]) -> dict[UUID, PaymentRefunds]:
    payments = await store.lock_payments(tx, list(payment_ids))
    books = {payment_id: PaymentRefunds(payment, []) for payment_id, payment in payments.items()}
    for refund in await refund_store.refunds_of(tx, books):
        books[refund.payment_id].refunds.append(refund)
    return books


async def _close(
    tx: Transaction, books: Iterable[PaymentRefunds], *, append: bool = True
) -> list[Event]:
    """Write what the notices changed; the events they come to."""
    changed = list(books)
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
        await refund_store.keep_failures(tx, failures)
    done = [_refunded(r, one.payment) for one in changed for r in one.done]
    events: list[Event] = [*done, *failures]
    if append:
        await outbox.append(tx, events)
    return events


def _dispute(notice: ProviderDispute, dispute_id: UUID, payment_id: UUID) -> Dispute:
    return Dispute(
        dispute_id=dispute_id,
        payment_id=payment_id,
        provider=notice.provider,
        provider_dispute_id=notice.provider_dispute_id,
        charge_id=notice.charge_id,
        amount_cents=notice.amount_cents,
        currency=notice.currency,
        status=notice.status,
        reason=notice.reason,
        due_at=notice.due_at,
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
