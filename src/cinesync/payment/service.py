"""Commands on payments. Each takes a batch and runs in one transaction."""

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
from cinesync.contracts.payment import PaymentFailed, PaymentSuccess
from cinesync.payment import store
from cinesync.payment.model import (
    FREE,
    ChargeEvent,
    Decision,
    KeyReused,
    Payment,
    PaymentCause,
    PaymentError,
    PaymentLimits,
    PaymentStatus,
    ProviderReport,
    Refund,
    RetryPolicy,
    StartPayment,
    UnknownPayment,
    decide,
    refusal_of,
    surplus_refund,
)
from cinesync.payment.refunds.store import insert_refunds

LIMITS = PaymentLimits()

DECIDED = Counter("cinesync_payments_total", "Payments decided.", ["provider", "status"])
SURPLUS = Counter(
    "cinesync_surplus_captures_total", "Captures that no payment needs.", ["provider"]
)


async def start_payments(
    tx: Transaction, commands: Sequence[StartPayment], retry_policy: RetryPolicy
) -> list[Payment | Problem]:
    """Write payments as pending, before a provider learns of them; those of nothing succeed.

    For a key that was used before, in this batch or in another process, the result is the payment
    that it was used for. A hold takes one payment at a time: the second gets a problem.
    """
    firsts: dict[tuple[UUID, str], StartPayment] = {}
    for command in commands:
        firsts.setdefault(command.key, command)
    known = await _insert(tx, list(firsts.values()), retry_policy)
    missing = [key for key in firsts if key not in known]
    if missing:
        known |= await store.payments_by_keys(tx, missing)
    refused = [command for key, command in firsts.items() if key not in known]
    refusals: dict[tuple[UUID, str], Problem] = {}
    if refused:
        occupying = await store.payments_occupying(tx, [one.hold.hold_id for one in refused])
        refusals = {
            command.key: refusal_of(occupying[command.hold.hold_id])
            for command in refused
            if command.hold.hold_id in occupying
        }
        # The first of this batch for their hold turned out to repeat an earlier payment.
        again = [command for command in refused if command.hold.hold_id not in occupying]
        for command, result in zip(
            again, await start_payments(tx, again, retry_policy), strict=True
        ):
            if isinstance(result, Payment):
                known[command.key] = result
            else:
                refusals[command.key] = result
    return [
        refusals[command.key]
        if command.key in refusals
        else _for_command(known[command.key], command)
        for command in commands
    ]


async def _insert(
    tx: Transaction, commands: Sequence[StartPayment], retry_policy: RetryPolicy
) -> dict[tuple[UUID, str], Payment]:
    """Inserts the first for each hold, unless a unique key refuses it."""
    firsts: dict[UUID, StartPayment] = {}
    for command in commands:
        firsts.setdefault(command.hold.hold_id, command)
    ordered = sorted(firsts.values(), key=lambda command: command.key)
    created = await store.insert_payments(tx, ordered, retry_policy) if ordered else {}
    inserted = {one.key: _pending(one, created) for one in ordered if one.payment_id in created}
    free = {
        key: replace(payment.after(PaymentCause.CAPTURED), settled_at=payment.created_at)
        for key, payment in inserted.items()
        if payment.provider == FREE
    }
    if free:
        await store.update_payments(tx, list(free.values()))
        await outbox.append(tx, [_event(payment) for payment in free.values()])
    return inserted | free


def _pending(command: StartPayment, created: Mapping[UUID, datetime]) -> Payment:
    return Payment(
        payment_id=command.payment_id,
        customer_id=command.customer_id,
        hold_id=command.hold.hold_id,
        provider=command.provider,
        amount_cents=command.hold.total_cents,
        currency=command.hold.currency,
        status=PaymentStatus.PENDING,
        created_at=created[command.payment_id],
        idempotency_key=command.idempotency_key,
        fingerprint=command.fingerprint,
        trace=command.trace,
    )


def _for_command(payment: Payment, command: StartPayment) -> Payment | PaymentError:
    if payment.fingerprint != command.fingerprint:
        return KeyReused(payment_id=payment.payment_id)
    return payment


async def decide_payments(
    tx: Transaction, reports: Sequence[ProviderReport], limits: PaymentLimits = LIMITS
) -> list[Payment | PaymentError]:
    """Apply what providers report: to payments, captures, refunds of surplus, and events."""
    ids = [report.payment_id for report in reports]
    before, seen = await store.lock_with_captures(tx, ids)
    known = [report for report in reports if _is_ours(report, before)]
    after = await _apply(tx, before, seen, known, limits)
    return [
        after[report.payment_id] if _is_ours(report, before) else UnknownPayment()
        for report in reports
    ]


async def receive_events(
    tx: Transaction, events: Sequence[ChargeEvent], limits: PaymentLimits = LIMITS
) -> list[Payment | PaymentError]:
    """`decide_payments` for provider events; one that was received before changes nothing."""
    ids = [event.report.payment_id for event in events]
    before, seen = await store.lock_with_captures(tx, ids)
    ours = {_key(event): event for event in events if _is_ours(event.report, before)}
    new = await store.insert_provider_events(
        tx, [(*key, event.report.payment_id) for key, event in ours.items()]
    )
    reports = [ours[key].report for key in ours if key in new]
    after = await _apply(tx, before, seen, reports, limits)
    return [
        after[event.report.payment_id] if _is_ours(event.report, before) else UnknownPayment()
        for event in events
    ]


def _key(event: ChargeEvent) -> tuple[str, str]:
    return event.report.provider, event.provider_event_id


def _is_ours(report: ProviderReport, payments: Mapping[UUID, Payment]) -> bool:
    payment = payments.get(report.payment_id)
    return payment is not None and payment.provider == report.provider


async def _apply(
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
    await outbox.append(tx, [_event(p) for p in changed if p.status is not PaymentStatus.PENDING])
    return after


async def _with_last_attempts(
    tx: Transaction, changed: Sequence[Payment], limits: PaymentLimits
) -> list[Payment]:
    """A hold's last attempt keeps occupying it, so that no other starts."""
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
        await insert_refunds(tx, refunds)


def _event(payment: Payment) -> Event:
    """Publishes a decision, and counts it."""
    DECIDED.labels(payment.provider, payment.status).inc()
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
