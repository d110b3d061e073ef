"""The commands of the payment room. Each takes a batch and runs in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from prometheus_client import Counter

from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.chassis.problems import Problem
from cinesync.contracts.booking import BookingCancelled, BookingReduced, BookingRefused
from cinesync.contracts.payment import PaymentFailed, PaymentSuccess
from cinesync.payment import refund_store, store
from cinesync.payment.model import (
    FREE,
    Decision,
    KeyReused,
    Payment,
    PaymentCause,
    PaymentError,
    PaymentLimits,
    PaymentStatus,
    ProviderEvent,
    ProviderReport,
    Refund,
    RefundRequest,
    RetryPolicy,
    StartPayment,
    UnknownPayment,
    decide,
    refund_for,
    refusal_of,
    surplus_refund,
)

LIMITS = PaymentLimits()

SETTLED = Counter("cinesync_payments_total", "Payments decided.", ["provider", "status"])
SURPLUS = Counter("cinesync_surplus_captures_total", "Money taken beyond need.", ["provider"])


async def begin_payments(
    tx: Transaction, begins: Sequence[StartPayment], retry_policy: RetryPolicy
) -> list[Payment | Problem]:
    """Write payments as pending before any provider hears of them; those of nothing succeed.

    A key that was used before, now or by someone beside us, gives the payment it was used for.
    A hold takes one payment at a time: who comes second is told about the first.
    """
    firsts: dict[tuple[UUID, str], StartPayment] = {}
    for begin in begins:
        firsts.setdefault(begin.key, begin)
    known = await _insert(tx, list(firsts.values()), retry_policy)
    missing = [key for key in firsts if key not in known]
    if missing:
        known |= await store.payments_by_keys(tx, missing)
    beaten = [begin for key, begin in firsts.items() if key not in known]
    refusals: dict[tuple[UUID, str], Problem] = {}
    if beaten:
        occupying = await store.payments_occupying(tx, [begin.hold.hold_id for begin in beaten])
        again = [begin for begin in beaten if begin.hold.hold_id not in occupying]
        refusals = {
            begin.key: refusal_of(occupying[begin.hold.hold_id])
            for begin in beaten
            if begin.hold.hold_id in occupying
        }
        # The first of this batch for their hold turned out to repeat an earlier payment.
        for begin, begun in zip(again, await begin_payments(tx, again, retry_policy), strict=True):
            if isinstance(begun, Payment):
                known[begin.key] = begun
            else:
                refusals[begin.key] = begun
    return [
        refusals[begin.key] if begin.key in refusals else _begun(begin, known[begin.key])
        for begin in begins
    ]


async def _insert(
    tx: Transaction, begins: Sequence[StartPayment], retry_policy: RetryPolicy
) -> dict[tuple[UUID, str], Payment]:
    """The first for each hold, as far as the database takes it."""
    claims: dict[UUID, StartPayment] = {}
    for begin in begins:
        claims.setdefault(begin.hold.hold_id, begin)
    ordered = sorted(claims.values(), key=lambda begin: begin.key)
    created = await store.insert_payments(tx, ordered, retry_policy) if ordered else {}
    inserted = {b.key: _pending(b, created) for b in ordered if b.payment_id in created}
    free = {
        key: replace(payment.after(PaymentCause.CAPTURED), settled_at=payment.created_at)
        for key, payment in inserted.items()
        if payment.provider == FREE
    }
    if free:
        await store.update_payments(tx, list(free.values()))
        await outbox.append(tx, [_decision(payment) for payment in free.values()])
    return inserted | free


def _pending(begin: StartPayment, created: Mapping[UUID, datetime]) -> Payment:
    return Payment(
        payment_id=begin.payment_id,
        customer_id=begin.customer_id,
        hold_id=begin.hold.hold_id,
        provider=begin.provider,
        amount_cents=begin.hold.total_cents,
        currency=begin.hold.currency,
        status=PaymentStatus.PENDING,
        created_at=created[begin.payment_id],
        idempotency_key=begin.idempotency_key,
        fingerprint=begin.fingerprint,
        trace=begin.trace,
    )


def _begun(begin: StartPayment, payment: Payment) -> Payment | PaymentError:
    if payment.fingerprint != begin.fingerprint:
        return KeyReused(payment_id=payment.payment_id)
    return payment


async def decide_payments(
    tx: Transaction, reports: Sequence[ProviderReport], limits: PaymentLimits = LIMITS
) -> list[Payment | PaymentError]:
    """Fold what providers said into payments, captures, refunds of surplus, and events."""
    ids = [report.payment_id for report in reports]
    before, seen = await store.lock_with_captures(tx, ids)
    known = [report for report in reports if _is_ours(report, before)]
    after = await _fold(tx, before, seen, known, limits)
    return [
        after[report.payment_id] if _is_ours(report, before) else UnknownPayment()
        for report in reports
    ]


async def receive_events(
    tx: Transaction, events: Sequence[ProviderEvent], limits: PaymentLimits = LIMITS
) -> list[Payment | PaymentError]:
    """`settle_payments` for notices; one that was received before changes nothing."""
    ids = [event.report.payment_id for event in events]
    before, seen = await store.lock_with_captures(tx, ids)
    ours = {_name(event): event for event in events if _is_ours(event.report, before)}
    fresh = await store.insert_provider_events(
        tx, [(*name, event.report.payment_id) for name, event in ours.items()]
    )
    reports = [ours[name].report for name in ours if name in fresh]
    after = await _fold(tx, before, seen, reports, limits)
    return [
        after[event.report.payment_id] if _is_ours(event.report, before) else UnknownPayment()
        for event in events
    ]


def _name(event: ProviderEvent) -> tuple[str, str]:
    return event.report.provider, event.provider_event_id


def _is_ours(report: ProviderReport, payments: Mapping[UUID, Payment]) -> bool:
    payment = payments.get(report.payment_id)
    return payment is not None and payment.provider == report.provider


async def _fold(
    tx: Transaction,
    before: Mapping[UUID, Payment],
    seen: dict[UUID, set[str]],
    reports: Sequence[ProviderReport],
    limits: PaymentLimits,
) -> dict[UUID, Payment]:
    after = dict(before)
    decisions: list[Decision] = []
    for report in reports:
        result = decide(after[report.payment_id], seen[report.payment_id], report)
        seen[report.payment_id] |= {charge.charge_id for charge in result.captures}
        after[report.payment_id] = result.payment
        decisions.append(result)
    changed = [payment for payment in after.values() if payment != before[payment.payment_id]]
    if any(payment.status is PaymentStatus.FAILED for payment in changed):
        changed = await _with_last_attempts(tx, changed, limits)
        after |= {payment.payment_id: payment for payment in changed}
    if changed:
        await store.update_payments(tx, changed)
    await _write_captures(tx, decisions)
    await outbox.append(
        tx, [_decision(p) for p in changed if p.status is not PaymentStatus.PENDING]
    )
    return after


async def _with_last_attempts(
    tx: Transaction, changed: Sequence[Payment], limits: PaymentLimits
) -> list[Payment]:
    """The last attempt that a hold has goes on occupying it, so that no other begins."""
    hold_ids = [payment.hold_id for payment in changed if payment.status is PaymentStatus.FAILED]
    failures = await store.failure_counts(tx, hold_ids)
    return [
        replace(payment, occupies_hold=True)
        if payment.status is PaymentStatus.FAILED
        and failures.get(payment.hold_id, 0) + 1 >= limits.attempts_per_hold
        else payment
        for payment in changed
    ]


async def _write_captures(tx: Transaction, decisions: Iterable[Decision]) -> None:
    captures: list[store.Capture] = []
    refunds: list[Refund] = []
    for one in decisions:
        captures += [store.Capture(one.payment, c, c in one.surplus) for c in one.captures]
        refunds += [surplus_refund(one.payment, c, clock.new_id()) for c in one.surplus]
    if captures:
        await store.insert_captures(tx, captures)
    if refunds:
        SURPLUS.labels(refunds[0].provider).inc(len(refunds))
        await refund_store.insert_refunds(tx, refunds)


def _decision(payment: Payment) -> Event:
    SETTLED.labels(payment.provider, payment.status).inc()
    if payment.status is PaymentStatus.FAILED:
        return PaymentFailed(
            event_id=clock.new_id(),
            occurred_at=clock.now(),
            trace=payment.trace,
            payment_id=payment.payment_id,
            hold_id=payment.hold_id,
            customer_id=payment.customer_id,
            reason=payment.failure_reason,
        )
    return PaymentSuccess(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        amount_cents=payment.amount_cents,
        currency=payment.currency,
        provider=payment.provider,
    )


async def refund_refused(tx: Transaction, events: Sequence[BookingRefused]) -> None:
    """A payment that could not become a booking goes back."""
    await _begin_refunds(tx, events)


async def refund_cancelled(
    tx: Transaction, events: Sequence[BookingCancelled] | Sequence[BookingReduced]
) -> None:
    """A booking's money goes back, as much of it as booking says: once for each event, so that
    one payment may be given back in parts."""
    await _begin_refunds(tx, events)


async def _begin_refunds(
    tx: Transaction,
    events: Sequence[BookingRefused] | Sequence[BookingCancelled] | Sequence[BookingReduced],
) -> None:
    asks = {
        f"event:{event.event_id}": RefundRequest(
            source=f"event:{event.event_id}",
            payment_id=event.payment_id,
            amount_cents=event.refund_cents,
            reason=event.reason,
        )
        for event in events
    }
    done = await refund_store.refund_sources(tx, list(asks))
    payments = await store.lock_payments(tx, [ask.payment_id for ask in asks.values()])
    refunds: list[Refund] = []
    for ask in (ask for source, ask in asks.items() if source not in done):
        if ask.payment_id not in payments:
            raise UnknownPayment(payment_id=ask.payment_id)
        payment = payments[ask.payment_id]
        refund = refund_for(payment, ask, clock.new_id())
        if refund is not None:
            asked_cents = payment.refund_asked_cents + refund.amount_cents
            payments[ask.payment_id] = replace(payment, refund_asked_cents=asked_cents)
            refunds.append(refund)
    if refunds:
        await refund_store.insert_refunds(tx, refunds)
        touched = {refund.payment_id for refund in refunds}
        await store.update_payments(tx, [payments[payment_id] for payment_id in touched])
