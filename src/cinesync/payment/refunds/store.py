"""Statements over refunds and disputes: one question each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Float,
    Interval,
    Uuid,
    bindparam,
    case,
    cast,
    extract,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from cinesync.chassis.database import Row, Transaction, compiled
from cinesync.chassis.database.bulk import any_of, batch, insert_from, matches
from cinesync.contracts.payment import PaymentDisputed, PaymentRefundFailed
from cinesync.payment.model import Refund, RefundStatus
from cinesync.payment.refunds.model import Dispute, DisputeStatus
from cinesync.payment.tables import (
    captures,
    dispute_changes,
    disputes,
    payments,
    refund_failures,
    refunds,
)

DOUBLINGS_MAX: Final = 20  # of the pause between two attempts

_FIELDS: Final = (
    "refund_id",
    "source",
    "payment_id",
    "provider",
    "charge_id",
    "amount_cents",
    "currency",
    "reason",
    "surplus",
    "status",
    "provider_refund_id",
    "unasked_cents",
    "last_error",
)
_COLUMNS: Final = (
    *(refunds.c[name] for name in _FIELDS),
    refunds.c.done_at.is_not(None).label("was_done"),
)
_DISPUTE_FIELDS: Final = (
    "dispute_id",
    "payment_id",
    "provider",
    "provider_dispute_id",
    "charge_id",
    "amount_cents",
    "currency",
    "status",
    "reason",
    "due_at",
)


def _refund(row: Row) -> Refund:
    values = dict(zip((*_FIELDS, "was_done"), row, strict=True))
    values["status"] = RefundStatus(values["status"])
    return Refund(**values)


def _dispute(row: Row) -> Dispute:
    values = dict(zip(_DISPUTE_FIELDS, row, strict=True))
    values["status"] = DisputeStatus(values["status"])
    return Dispute(**values)


SOURCES: Final = compiled(select(refunds.c.source).where(any_of(refunds.c.source, "sources")))


async def refund_sources(tx: Transaction, sources: Sequence[str]) -> set[str]:
    """Those of `sources` that have their refund already."""
    return {row.source for row in await tx.execute(SOURCES, {"sources": list(sources)})}


NEW: Final = batch("new", *(refunds.c[name] for name in _FIELDS))
INSERT: Final = compiled(
    insert_from(refunds, NEW, done_at=case((NEW.c.status == "done", func.now())))
)


async def insert_refunds(tx: Transaction, new: Sequence[Refund]) -> None:
    """Each source once: a second time is a violation."""
    await tx.execute(INSERT, {"new": new})


MOVED: Final = batch(
    "moved",
    refunds.c.refund_id,
    refunds.c.status,
    refunds.c.provider_refund_id,
    refunds.c.last_error,
    refunds.c.unasked_cents,
)
UPDATE: Final = compiled(
    update(refunds)
    .values(
        status=MOVED.c.status,
        provider_refund_id=MOVED.c.provider_refund_id,
        last_error=MOVED.c.last_error,
        unasked_cents=MOVED.c.unasked_cents,
        attempts=case((MOVED.c.status.in_(("pending", "submitted")), 0), else_=refunds.c.attempts),
        next_attempt_at=case(
            (MOVED.c.status == "pending", func.now()), else_=refunds.c.next_attempt_at
        ),
        done_at=case((MOVED.c.status == "done", func.now()), else_=refunds.c.done_at),
        changed_at=func.now(),
    )
    .where(matches(refunds, MOVED))
)


async def update_refunds(tx: Transaction, moved: Sequence[Refund]) -> None:
    """Write the state of each refund; the caller has locked their payments."""
    ordered = sorted(moved, key=lambda refund: refund.refund_id)
    await tx.execute(UPDATE, {"moved": ordered})


OF_PAYMENTS: Final = compiled(
    select(*_COLUMNS)
    .where(any_of(refunds.c.payment_id, "payment_ids"))
    .order_by(refunds.c.created_at.asc(), refunds.c.refund_id.asc())
)


async def refunds_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Refund]:
    """All refunds of these payments, the oldest first."""
    rows = await tx.execute(OF_PAYMENTS, {"payment_ids": sorted(set(payment_ids))})
    return [_refund(row) for row in rows]


PAYMENT_IDS: Final = compiled(
    select(refunds.c.refund_id, refunds.c.provider_refund_id, refunds.c.payment_id).where(
        refunds.c.provider == bindparam("provider"),
        or_(
            any_of(refunds.c.refund_id, "refund_ids"),
            any_of(refunds.c.provider_refund_id, "provider_refund_ids"),
        ),
    )
)


async def payments_of_refunds(
    tx: Transaction, provider: str, refund_ids: Sequence[UUID], provider_refund_ids: Sequence[str]
) -> dict[UUID | str, UUID]:
    """The payment ids of refunds, by our refund id and by the provider's."""
    values = {
        "provider": provider,
        "refund_ids": list(refund_ids),
        "provider_refund_ids": [name for name in provider_refund_ids if name],
    }
    found: dict[UUID | str, UUID] = {}
    for row in await tx.execute(PAYMENT_IDS, values):
        found[row.refund_id] = row.payment_id
        found[row.provider_refund_id] = row.payment_id
    return found


CAPTURES: Final = compiled(
    select(captures.c.charge_id, captures.c.payment_id, captures.c.surplus).where(
        captures.c.provider == bindparam("provider"), any_of(captures.c.charge_id, "charge_ids")
    )
)


async def captures_of_charges(
    tx: Transaction, provider: str, charge_ids: Sequence[str]
) -> dict[str, tuple[UUID, bool]]:
    """The payment id of each captured charge, and whether the capture is surplus."""
    rows = await tx.execute(CAPTURES, {"provider": provider, "charge_ids": list(charge_ids)})
    return {row.charge_id: (row.payment_id, row.surplus) for row in rows}


_DUE: Final = refunds.alias("due")
_PAUSE: Final = bindparam("retry", type_=Interval) * func.power(
    2.0, cast(func.least(refunds.c.attempts, DOUBLINGS_MAX), Float)
)
CLAIM: Final = compiled(
    update(refunds)
    .values(
        attempts=refunds.c.attempts + 1,
        next_attempt_at=func.now()
        + func.least(_PAUSE, bindparam("retry_max", type_=Interval), type_=Interval),
    )
    .where(
        refunds.c.refund_id.in_(
            select(_DUE.c.refund_id)
            .where(
                _DUE.c.status.in_(("pending", "submitted")),
                _DUE.c.provider == bindparam("provider"),
                _DUE.c.next_attempt_at <= func.now(),
            )
            .order_by(_DUE.c.next_attempt_at.asc(), _DUE.c.refund_id.asc())
            .limit(bindparam("limit", type_=BigInteger))
        )
    )
    .returning(*_COLUMNS)
)


async def claim_refunds(
    tx: Transaction, provider: str, retry_seconds: float, retry_seconds_max: float, limit: int
) -> list[Refund]:
    """Refunds that are due, to request or to poll. Each goes to one process: the claim schedules
    the next attempt. Each pause is twice the one before."""
    values = {
        "provider": provider,
        "retry": timedelta(seconds=retry_seconds),
        "retry_max": timedelta(seconds=retry_seconds_max),
        "limit": limit,
    }
    return [_refund(row) for row in await tx.execute(CLAIM, values)]


ERRORS: Final = batch("errors", refunds.c.refund_id, refunds.c.last_error)
RECORD_ERRORS: Final = compiled(
    update(refunds)
    .values(
        last_error=ERRORS.c.last_error,
        status=case(
            (
                (refunds.c.status == "pending")
                & (refunds.c.attempts >= bindparam("attempts_max", type_=BigInteger)),
                "needs_attention",
            ),
            else_=refunds.c.status,
        ),
        changed_at=func.now(),
    )
    .where(matches(refunds, ERRORS), refunds.c.status.in_(("pending", "submitted")))
    .returning(*_COLUMNS)
)


async def record_refund_errors(
    tx: Transaction, errors: Mapping[UUID, str], attempts_max: int
) -> list[Refund]:
    """Write why refunds are not done yet; returns those that now need attention."""
    values = {"errors": sorted(errors.items()), "attempts_max": attempts_max}
    recorded = [_refund(row) for row in await tx.execute(RECORD_ERRORS, values)]
    return [refund for refund in recorded if refund.status is RefundStatus.NEEDS_ATTENTION]


FIND: Final = compiled(select(*_COLUMNS).where(refunds.c.refund_id == bindparam("refund_id")))


async def find_refund(tx: Transaction, refund_id: UUID) -> Refund | None:
    """One refund."""
    row = (await tx.execute(FIND, {"refund_id": refund_id})).first()
    return _refund(row) if row else None


DISPUTES: Final = compiled(
    select(*(disputes.c[name] for name in _DISPUTE_FIELDS)).where(
        disputes.c.provider == bindparam("provider"),
        any_of(disputes.c.provider_dispute_id, "provider_dispute_ids"),
    )
)


async def disputes_by_provider_id(
    tx: Transaction, provider: str, provider_dispute_ids: Sequence[str]
) -> dict[str, Dispute]:
    """Disputes by the provider's ids; the caller has locked their payments."""
    values = {"provider": provider, "provider_dispute_ids": list(provider_dispute_ids)}
    found = [_dispute(row) for row in await tx.execute(DISPUTES, values)]
    return {dispute.provider_dispute_id: dispute for dispute in found}


_DISPUTE: Final = insert(disputes).values({name: bindparam(name) for name in _DISPUTE_FIELDS})
UPSERT_DISPUTE: Final = compiled(
    _DISPUTE.on_conflict_do_update(
        index_elements=[disputes.c.provider, disputes.c.provider_dispute_id],
        set_={
            "status": _DISPUTE.excluded.status,
            "amount_cents": _DISPUTE.excluded.amount_cents,
            "reason": _DISPUTE.excluded.reason,
            "due_at": _DISPUTE.excluded.due_at,
            "changed_at": func.now(),
        },
    )
)


async def upsert_dispute(tx: Transaction, dispute: Dispute) -> None:
    """Write the state of a dispute."""
    await tx.execute(UPSERT_DISPUTE, {name: getattr(dispute, name) for name in _DISPUTE_FIELDS})


FAILURES: Final = batch(
    "failures",
    refund_failures.c.event_id,
    refund_failures.c.refund_id,
    refund_failures.c.amount_cents,
    refund_failures.c.currency,
    refund_failures.c.was_refunded,
    refund_failures.c.failed_at,
)
INSERT_FAILURES: Final = compiled(insert_from(refund_failures, FAILURES))


async def insert_failures(tx: Transaction, failures: Sequence[PaymentRefundFailed]) -> None:
    """Record the events: their refunds may be retried, and change."""
    rows = [
        (
            failure.event_id,
            failure.refund_id,
            failure.amount_cents,
            failure.currency,
            failure.was_refunded,
            failure.occurred_at,
        )
        for failure in failures
    ]
    await tx.execute(INSERT_FAILURES, {"failures": rows})


INSERT_DISPUTE_CHANGE: Final = compiled(
    insert(dispute_changes).values({each.name: bindparam(each.name) for each in dispute_changes.c})
)


async def insert_dispute_change(tx: Transaction, change: PaymentDisputed) -> None:
    """Record the event: the dispute itself has only its last state."""
    values = {
        "event_id": change.event_id,
        "dispute_id": change.dispute_id,
        "amount_cents": change.amount_cents,
        "currency": change.currency,
        "status": change.status,
        "changed_at": change.occurred_at,
    }
    await tx.execute(INSERT_DISPUTE_CHANGE, values)


_CASES: Final = union_all(
    select(
        literal("refund").label("kind"),
        refunds.c.refund_id.label("id"),
        refunds.c.payment_id,
        refunds.c.provider,
        refunds.c.provider_refund_id.label("provider_id"),
        refunds.c.amount_cents,
        refunds.c.currency,
        refunds.c.status,
        refunds.c.reason,
        refunds.c.last_error.label("error"),
        refunds.c.created_at.label("since"),
        cast(null(), DateTime(timezone=True)).label("due_at"),
    ).where(refunds.c.status.in_(("needs_attention", "failed"))),
    select(
        literal("dispute"),
        disputes.c.dispute_id,
        disputes.c.payment_id,
        disputes.c.provider,
        disputes.c.provider_dispute_id,
        disputes.c.amount_cents,
        disputes.c.currency,
        disputes.c.status,
        disputes.c.reason,
        literal(""),
        disputes.c.created_at,
        disputes.c.due_at,
    ).where(disputes.c.status.in_(("inquiry", "open"))),
).subquery("cases")
_CASES_PAGE: Final = (
    select(
        _CASES.c.kind,
        _CASES.c.id,
        _CASES.c.payment_id,
        payments.c.hold_id,
        payments.c.customer_id,
        _CASES.c.provider,
        _CASES.c.provider_id,
        _CASES.c.amount_cents,
        _CASES.c.currency,
        _CASES.c.status,
        _CASES.c.reason,
        _CASES.c.error,
        _CASES.c.since,
        _CASES.c.due_at,
    )
    .join_from(_CASES, payments, payments.c.payment_id == _CASES.c.payment_id)
    .order_by(_CASES.c.since.asc(), _CASES.c.id.asc())
    .limit(bindparam("limit", type_=BigInteger))
)
FIRST_CASES: Final = compiled(_CASES_PAGE)
NEXT_CASES: Final = compiled(
    _CASES_PAGE.where(
        tuple_(_CASES.c.since, _CASES.c.id)
        > tuple_(bindparam("since", type_=_CASES.c.since.type), bindparam("id", type_=Uuid))
    )
)


async def attention_page(
    tx: Transaction, after: tuple[datetime, UUID] | None, limit: int
) -> list[Row]:
    """What needs a person's attention, the oldest first: refunds that we gave up or that failed,
    and undecided disputes."""
    if after is None:
        return list(await tx.execute(FIRST_CASES, {"limit": limit}))
    since, case_id = after
    return list(await tx.execute(NEXT_CASES, {"since": since, "id": case_id, "limit": limit}))


# One condition for each partial index, so that the scan reads open refunds only.
OPEN: Final = compiled(
    select(
        refunds.c.status,
        refunds.c.currency,
        func.count().label("count"),
        cast(func.sum(refunds.c.amount_cents), BigInteger).label("total_cents"),
        cast(extract("epoch", func.now() - func.min(refunds.c.created_at)), Float).label(
            "oldest_seconds"
        ),
    )
    .where(
        or_(
            refunds.c.status == "pending",
            refunds.c.status == "submitted",
            refunds.c.status.in_(("needs_attention", "failed")),
        )
    )
    .group_by(refunds.c.status, refunds.c.currency)
)


async def open_refunds(tx: Transaction) -> list[tuple[str, str, int, int, float]]:
    """Status, currency, count, sum and age of the oldest in seconds."""
    return [(*row[:4], max(row.oldest_seconds, 0.0)) for row in await tx.execute(OPEN)]
