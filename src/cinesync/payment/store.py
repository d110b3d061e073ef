"""Statements over payments, captures and provider events: one question each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Float,
    Interval,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    extract,
    func,
    or_,
    select,
    tuple_,
    update,
)

from cinesync.chassis.database import Row, Statement, Transaction, compiled
from cinesync.chassis.database.bulk import any_of, batch, insert_from, matches
from cinesync.payment.model import Payment, PaymentStatus, ProviderCharge, RetryPolicy, StartPayment
from cinesync.payment.tables import captures, payments, provider_events, refunds

CHECKS_COUNTED_MAX: Final = 20  # the pause between two checks grows up to this many times

_FIELDS: Final = Payment.__struct_fields__
_COLUMNS: Final = tuple(payments.c[name] for name in _FIELDS)
_IS_PENDING: Final = payments.c.status == "pending"
_ASK_BEFORE: Final = bindparam("ask_before", type_=Interval)

NEW: Final = batch(
    "new",
    payments.c.payment_id,
    payments.c.customer_id,
    payments.c.idempotency_key,
    payments.c.fingerprint,
    payments.c.hold_id,
    payments.c.hold_expires_at,
    payments.c.provider,
    payments.c.amount_cents,
    payments.c.currency,
    payments.c.trace,
)
INSERT: Final = compiled(
    insert_from(
        payments,
        NEW,
        status="pending",
        next_check_at=func.least(
            func.now() + bindparam("first_check", type_=Interval),
            func.greatest(func.now(), NEW.c.hold_expires_at - _ASK_BEFORE),
        ),
        occupies_hold=True,
    )
    # Of two unique indexes either may refuse: the customer's key, and one payment for each hold.
    .on_conflict_do_nothing()
    .returning(payments.c.payment_id, payments.c.created_at)
)


def _payment(row: Row) -> Payment:
    """A row that begins with the columns of a payment."""
    values = dict(zip(_FIELDS, row, strict=False))
    values["status"] = PaymentStatus(values["status"])
    return Payment(**values)


async def insert_payments(
    tx: Transaction, commands: Sequence[StartPayment], policy: RetryPolicy
) -> dict[UUID, datetime]:
    """Insert pending payments, except for a used key or an occupied hold. Returns their ids, with
    the time of creation.

    The first check comes after a while, or shortly before the hold expires if that is sooner.
    """
    new = [
        (
            command.payment_id,
            command.customer_id,
            command.idempotency_key,
            command.fingerprint,
            command.hold.hold_id,
            command.hold.expires_at,
            command.provider,
            command.hold.total_cents,
            command.hold.currency,
            command.trace,
        )
        for command in commands
    ]
    values = {
        "new": new,
        "first_check": timedelta(seconds=policy.first_check_seconds),
        "ask_before": timedelta(seconds=policy.ask_before_seconds),
    }
    return dict(await tx.execute(INSERT, values))


KEYS: Final = batch("keys", payments.c.customer_id, payments.c.idempotency_key)
BY_KEYS: Final = compiled(
    select(*_COLUMNS).join_from(
        payments,
        KEYS,
        and_(
            KEYS.c.customer_id == payments.c.customer_id,
            KEYS.c.idempotency_key == payments.c.idempotency_key,
        ),
    )
)


async def payments_by_keys(
    tx: Transaction, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Payment]:
    """What each customer's idempotency key was used for."""
    found = [_payment(row) for row in await tx.execute(BY_KEYS, {"keys": keys})]
    return {(payment.customer_id, payment.idempotency_key): payment for payment in found}


OCCUPYING: Final = compiled(
    select(*_COLUMNS).where(any_of(payments.c.hold_id, "hold_ids"), payments.c.occupies_hold)
)


async def payments_occupying(tx: Transaction, hold_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """The payments that prevent another one, by hold."""
    rows = await tx.execute(OCCUPYING, {"hold_ids": list(hold_ids)})
    return {payment.hold_id: payment for payment in map(_payment, rows)}


FAILURE_COUNTS: Final = compiled(
    select(payments.c.hold_id, func.count().label("failures"))
    .where(any_of(payments.c.hold_id, "hold_ids"), payments.c.status == "failed")
    .group_by(payments.c.hold_id)
)


async def failure_counts(tx: Transaction, hold_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many payments failed before, by hold."""
    rows = await tx.execute(FAILURE_COUNTS, {"hold_ids": list(hold_ids)})
    return {row.hold_id: int(row.failures) for row in rows}


def _locked(*columns: ColumnElement[Any]) -> Statement:
    """In key order, so that two transactions never wait for each other in a ring."""
    statement: Select[Any] = select(*columns)
    return compiled(
        statement.where(any_of(payments.c.payment_id, "payment_ids"))
        .order_by(payments.c.payment_id.asc())
        .with_for_update()
    )


LOCK: Final = _locked(*_COLUMNS)
LOCK_WITH_CAPTURES: Final = _locked(
    *_COLUMNS,
    func.array(
        select(captures.c.charge_id)
        .where(captures.c.payment_id == payments.c.payment_id)
        .scalar_subquery(),
        type_=ARRAY(Text),
    ).label("captured"),
)


async def lock_payments(tx: Transaction, payment_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """Payments by their id, locked."""
    rows = await tx.execute(LOCK, {"payment_ids": list(set(payment_ids))})
    return {row.payment_id: _payment(row) for row in rows}


async def lock_with_captures(
    tx: Transaction, payment_ids: Sequence[UUID]
) -> tuple[dict[UUID, Payment], dict[UUID, set[str]]]:
    """The same, and the charges known to be captured, by payment."""
    rows = await tx.execute(LOCK_WITH_CAPTURES, {"payment_ids": list(set(payment_ids))})
    captured = {row["payment_id"]: set(row["captured"]) for row in rows}
    return {row["payment_id"]: _payment(row) for row in rows}, captured


FIND: Final = compiled(select(*_COLUMNS).where(payments.c.payment_id == bindparam("payment_id")))


async def find_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """One payment."""
    row = (await tx.execute(FIND, {"payment_id": payment_id})).first()
    return _payment(row) if row else None


_NEWEST: Final = (
    select(*_COLUMNS)
    .where(payments.c.customer_id == bindparam("customer_id"))
    .order_by(payments.c.created_at.desc(), payments.c.payment_id.desc())
    .limit(bindparam("limit", type_=BigInteger))
)
NEWEST_PAGE: Final = compiled(_NEWEST)
NEXT_PAGE: Final = compiled(
    _NEWEST.where(
        tuple_(payments.c.created_at, payments.c.payment_id)
        < tuple_(
            bindparam("at", type_=payments.c.created_at.type),
            bindparam("payment_id", type_=payments.c.payment_id.type),
        )
    )
)


async def payments_of_customer(
    tx: Transaction, customer_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[Payment]:
    """The newest first, older than `before`."""
    values = {"customer_id": customer_id, "limit": limit}
    if before is None:
        rows = await tx.execute(NEWEST_PAGE, values)
    else:
        rows = await tx.execute(NEXT_PAGE, values | {"at": before[0], "payment_id": before[1]})
    return [_payment(row) for row in rows]


MOVED: Final = batch(
    "moved",
    payments.c.payment_id,
    payments.c.status,
    payments.c.charge_id,
    payments.c.failure_reason,
    payments.c.confirm_url,
    payments.c.refund_asked_cents,
    payments.c.refunded_cents,
    payments.c.occupies_hold,
)
UPDATE: Final = compiled(
    update(payments)
    .values(
        {column.name: column for column in MOVED.c if column.name != "payment_id"}
        | {
            "settled_at": case(
                (MOVED.c.status == "pending", None),
                else_=func.coalesce(payments.c.settled_at, func.now()),
            )
        }
    )
    .where(matches(payments, MOVED))
)


async def update_payments(tx: Transaction, moved: Sequence[Payment]) -> None:
    """Write the state of each payment; the caller has locked them."""
    ordered = sorted(moved, key=lambda payment: payment.payment_id)
    await tx.execute(UPDATE, {"moved": ordered})


@dataclass(frozen=True, slots=True)
class Capture:
    """Money that a provider took for a payment; surplus money is refunded."""

    payment: Payment
    charge: ProviderCharge
    surplus: bool


CAPTURED: Final = batch(
    "captured",
    captures.c.provider,
    captures.c.charge_id,
    captures.c.payment_id,
    captures.c.amount_cents,
    captures.c.currency,
    captures.c.surplus,
)
INSERT_CAPTURES: Final = compiled(insert_from(captures, CAPTURED))


async def insert_captures(tx: Transaction, captured: Sequence[Capture]) -> None:
    """Each under the provider's own id: a second time is a violation."""
    rows = [
        (
            capture.payment.provider,
            capture.charge.charge_id,
            capture.payment.payment_id,
            capture.charge.amount_cents,
            capture.charge.currency,
            capture.surplus,
        )
        for capture in captured
    ]
    await tx.execute(INSERT_CAPTURES, {"captured": rows})


EVENTS: Final = batch(
    "events",
    provider_events.c.provider,
    provider_events.c.provider_event_id,
    provider_events.c.payment_id,
)
INSERT_EVENTS: Final = compiled(
    insert_from(provider_events, EVENTS)
    .on_conflict_do_nothing(index_elements=list(provider_events.primary_key))
    .returning(provider_events.c.provider, provider_events.c.provider_event_id)
)


async def insert_provider_events(
    tx: Transaction, events: Sequence[tuple[str, str, UUID]]
) -> set[tuple[str, str]]:
    """Claim (provider, provider_event_id, payment_id); those that were not there before."""
    rows = await tx.execute(INSERT_EVENTS, {"events": sorted(set(events))})
    return {(row.provider, row.provider_event_id) for row in rows}


@dataclass(frozen=True, slots=True)
class Overdue:
    """A pending payment that is due, and its age by the database's clock.

    `absence_counts`: it is so old that a provider which does not know it never will.
    """

    payment: Payment
    hold_is_over: bool
    absence_counts: bool


IS_ANYTHING_DUE: Final = compiled(
    select(
        or_(
            select(payments.c.payment_id)
            .where(
                _IS_PENDING,
                payments.c.provider == bindparam("provider"),
                payments.c.next_check_at <= func.now(),
            )
            .exists(),
            select(refunds.c.refund_id)
            .where(
                refunds.c.status.in_(("pending", "submitted")),
                refunds.c.provider == bindparam("provider"),
                refunds.c.next_attempt_at <= func.now(),
            )
            .exists(),
        ).label("is_due")
    )
)


async def is_anything_due(tx: Transaction, provider: str) -> bool:
    """Whether there is anything to claim; this costs less than a claim."""
    return bool((await tx.execute(IS_ANYTHING_DUE, {"provider": provider})).scalar_one())


PENDING: Final = compiled(
    select(
        payments.c.currency,
        func.count().label("count"),
        cast(func.sum(payments.c.amount_cents), BigInteger).label("total_cents"),
        cast(extract("epoch", func.now() - func.min(payments.c.created_at)), Float).label(
            "oldest_seconds"
        ),
    )
    .where(_IS_PENDING)
    .group_by(payments.c.currency)
)


async def pending_payments(tx: Transaction) -> list[tuple[str, int, int, float]]:
    """Currency, count, sum and age of the oldest in seconds."""
    return [(*row[:3], max(row.oldest_seconds, 0.0)) for row in await tx.execute(PENDING)]


_OVERDUE: Final = payments.alias("overdue")
_BEFORE_EXPIRY: Final = payments.c.hold_expires_at - _ASK_BEFORE
CLAIM: Final = compiled(
    update(payments)
    .values(
        checks=payments.c.checks + 1,
        next_check_at=func.least(
            func.now()
            + func.least(payments.c.checks + 1, CHECKS_COUNTED_MAX)
            * bindparam("retry", type_=Interval),
            case((func.now() < _BEFORE_EXPIRY, _BEFORE_EXPIRY)),
        ),
    )
    .where(
        payments.c.payment_id.in_(
            select(_OVERDUE.c.payment_id)
            .where(
                _OVERDUE.c.status == "pending",
                _OVERDUE.c.provider == bindparam("provider"),
                _OVERDUE.c.next_check_at <= func.now(),
            )
            .order_by(_OVERDUE.c.next_check_at.asc(), _OVERDUE.c.payment_id.asc())
            .limit(bindparam("limit", type_=BigInteger))
        )
    )
    .returning(
        *_COLUMNS,
        (payments.c.hold_expires_at + bindparam("cancel_after", type_=Interval) < func.now()).label(
            "hold_is_over"
        ),
        (payments.c.created_at + bindparam("absent_after", type_=Interval) < func.now()).label(
            "absence_counts"
        ),
    )
)


async def claim_overdue(
    tx: Transaction,
    provider: str,
    policy: RetryPolicy,
    absent_after_seconds: float,
    limit: int,
) -> list[Overdue]:
    """Pending payments that are due, each for one process.

    The next check comes after a growing pause, or shortly before the hold expires.
    """
    values = {
        "provider": provider,
        "retry": timedelta(seconds=policy.retry_seconds),
        "ask_before": timedelta(seconds=policy.ask_before_seconds),
        "cancel_after": timedelta(seconds=policy.cancel_after_seconds),
        "absent_after": timedelta(seconds=absent_after_seconds),
        "limit": limit,
    }
    rows = await tx.execute(CLAIM, values)
    return [Overdue(_payment(row), row.hold_is_over, row.absence_counts) for row in rows]
