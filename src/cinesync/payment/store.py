"""Statements over the payment tables, one question each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from cinesync.chassis.database import Row, Transaction, text
from cinesync.payment.model import Payment, PaymentStatus, ProviderCharge, RetryPolicy, StartPayment

_PAYMENT_FIELDS: Final = Payment.__struct_fields__
PAYMENT_COLUMNS: Final = ", ".join(f"p.{name}" for name in _PAYMENT_FIELDS)
LOCKED: Final = (
    "FROM payments p WHERE p.payment_id = ANY(CAST(:payment_ids AS uuid[]))"
    " ORDER BY p.payment_id ASC FOR UPDATE"
)


def _payment(row: Row) -> Payment:
    """A row that begins with PAYMENT_COLUMNS."""
    values = dict(zip(_PAYMENT_FIELDS, row, strict=False))
    values["status"] = PaymentStatus(values["status"])
    return Payment(**values)


async def insert_payments(
    tx: Transaction, begins: Sequence[StartPayment], retry_policy: RetryPolicy
) -> dict[UUID, datetime]:
    """New payments and when they were created; nothing for a key that is there already, and
    for a hold that another payment occupies.

    The first check comes after a while, or shortly before the hold expires if that is sooner.
    """
    statement = text(
        "INSERT INTO payments (payment_id, customer_id, idempotency_key, fingerprint, hold_id,"
        " hold_expires_at, provider, amount_cents, currency, trace, status, next_check_at,"
        " occupies_hold)"
        " SELECT t.payment_id, t.customer_id, t.idempotency_key, t.fingerprint, t.hold_id,"
        " t.hold_expires_at, t.provider, t.amount_cents, t.currency, t.trace, 'pending',"
        " LEAST(now() + CAST(:first_check AS double precision) * interval '1 second', GREATEST("
        " now(), t.hold_expires_at - CAST(:ask_before AS double precision) * interval '1 second')),"
        " true"
        " FROM unnest(CAST(:payment_ids AS uuid[]), CAST(:customer_ids AS uuid[]),"
        " CAST(:keys AS text[]), CAST(:fingerprints AS text[]), CAST(:hold_ids AS uuid[]),"
        " CAST(:expiries AS timestamptz[]), CAST(:providers AS text[]),"
        " CAST(:amounts AS bigint[]), CAST(:currencies AS text[]), CAST(:traces AS text[]))"
        " AS t(payment_id, customer_id, idempotency_key, fingerprint, hold_id, hold_expires_at,"
        " provider, amount_cents, currency, trace)"
        " ON CONFLICT DO NOTHING RETURNING payment_id, created_at"
    )
    values = {
        "payment_ids": [b.payment_id for b in begins],
        "customer_ids": [b.customer_id for b in begins],
        "keys": [b.idempotency_key for b in begins],
        "fingerprints": [b.fingerprint for b in begins],
        "hold_ids": [b.hold.hold_id for b in begins],
        "expiries": [b.hold.expires_at for b in begins],
        "providers": [b.provider for b in begins],
        "amounts": [b.hold.total_cents for b in begins],
        "currencies": [b.hold.currency for b in begins],
        "traces": [b.trace for b in begins],
        "first_check": retry_policy.first_check_seconds,
        "ask_before": retry_policy.ask_before_seconds,
    }
    rows = await tx.execute(statement, values)
    return dict(rows)


async def payments_by_keys(
    tx: Transaction, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Payment]:
    """What each customer's idempotency key was used for."""
    statement = text(
        f"SELECT {PAYMENT_COLUMNS} FROM payments p"  # noqa: S608 a constant
        " JOIN unnest(CAST(:customer_ids AS uuid[]), CAST(:keys AS text[]))"
        " AS t(customer_id, idempotency_key)"
        " ON t.customer_id = p.customer_id AND t.idempotency_key = p.idempotency_key"
    )
    values = {"customer_ids": [key[0] for key in keys], "keys": [key[1] for key in keys]}
    found = [_payment(row) for row in await tx.execute(statement, values)]
    return {(payment.customer_id, payment.idempotency_key): payment for payment in found}


async def payments_occupying(tx: Transaction, hold_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """The payments that let no other begin, by hold."""
    statement = text(
        f"SELECT {PAYMENT_COLUMNS} FROM payments p"  # noqa: S608 a constant
        " WHERE p.hold_id = ANY(CAST(:hold_ids AS uuid[])) AND p.occupies_hold"
    )
    rows = await tx.execute(statement, {"hold_ids": list(hold_ids)})
    return {payment.hold_id: payment for payment in map(_payment, rows)}


async def failure_counts(tx: Transaction, hold_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many payments failed before, by hold."""
    statement = text(
        "SELECT hold_id, count(*) AS failures FROM payments"
        " WHERE hold_id = ANY(CAST(:hold_ids AS uuid[])) AND status = 'failed' GROUP BY hold_id"
    )
    rows = await tx.execute(statement, {"hold_ids": list(hold_ids)})
    return {row.hold_id: int(row.failures) for row in rows}


async def lock_payments(tx: Transaction, payment_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """Payments in key order, so that two who settle never wait for each other in a ring."""
    statement = text(f"SELECT {PAYMENT_COLUMNS} {LOCKED}")
    rows = await tx.execute(statement, {"payment_ids": list(set(payment_ids))})
    return {row.payment_id: _payment(row) for row in rows}


async def lock_with_captures(
    tx: Transaction, payment_ids: Sequence[UUID]
) -> tuple[dict[UUID, Payment], dict[UUID, set[str]]]:
    """The same, and the charges known to be captured, by payment."""
    statement = text(
        f"SELECT {PAYMENT_COLUMNS},"  # noqa: S608 constants
        " ARRAY(SELECT charge_id FROM captures WHERE captures.payment_id = p.payment_id)"
        f" AS captured {LOCKED}"
    )
    rows = await tx.execute(statement, {"payment_ids": list(set(payment_ids))})
    captured = {row["payment_id"]: set(row["captured"]) for row in rows}
    return {row["payment_id"]: _payment(row) for row in rows}, captured


async def find_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """One payment."""
    statement = text(
        f"SELECT {PAYMENT_COLUMNS} FROM payments p"  # noqa: S608 a constant
        " WHERE p.payment_id = CAST(:payment_id AS uuid)"
    )
    row = (await tx.execute(statement, {"payment_id": payment_id})).first()
    return _payment(row) if row else None


async def payments_of_customer(
    tx: Transaction, customer_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[Payment]:
    """The newest first, after (that is, older than) `before`."""
    statement = text(
        f"SELECT {PAYMENT_COLUMNS} FROM payments p"  # noqa: S608 a constant
        " WHERE p.customer_id = CAST(:customer_id AS uuid) AND (CAST(:at AS timestamptz) IS NULL"
        " OR (p.created_at, p.payment_id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))"
        " ORDER BY p.created_at DESC, p.payment_id DESC LIMIT CAST(:limit AS bigint)"
    )
    at, payment_id = before or (None, None)
    values = {"customer_id": customer_id, "at": at, "id": payment_id, "limit": limit}
    return [_payment(row) for row in await tx.execute(statement, values)]


async def update_payments(tx: Transaction, payments: Sequence[Payment]) -> None:
    """Write where each payment stands; the caller has locked them."""
    statement = text(
        "UPDATE payments AS p SET status = t.status, charge_id = t.charge_id,"
        " failure_reason = t.failure_reason, confirm_url = t.confirm_url,"
        " refund_asked_cents = t.refund_asked_cents, refunded_cents = t.refunded_cents,"
        " occupies_hold = t.occupies_hold,"
        " settled_at = CASE WHEN t.status = 'pending' THEN NULL"
        " ELSE COALESCE(p.settled_at, now()) END"
        " FROM unnest(CAST(:payment_ids AS uuid[]), CAST(:statuses AS text[]),"
        " CAST(:charge_ids AS text[]), CAST(:reasons AS text[]), CAST(:urls AS text[]),"
        " CAST(:asked AS bigint[]), CAST(:refunded AS bigint[]), CAST(:occupying AS boolean[]))"
        " AS t(payment_id, status, charge_id, failure_reason, confirm_url, refund_asked_cents,"
        " refunded_cents, occupies_hold) WHERE p.payment_id = t.payment_id"
    )
    ordered = sorted(payments, key=lambda payment: payment.payment_id)
    values = {
        "payment_ids": [p.payment_id for p in ordered],
        "statuses": [p.status.value for p in ordered],
        "charge_ids": [p.charge_id for p in ordered],
        "reasons": [p.failure_reason for p in ordered],
        "urls": [p.confirm_url for p in ordered],
        "asked": [p.refund_asked_cents for p in ordered],
        "refunded": [p.refunded_cents for p in ordered],
        "occupying": [p.occupies_hold for p in ordered],
    }
    await tx.execute(statement, values)


@dataclass(frozen=True, slots=True)
class Capture:
    """Money that a provider took for a payment; surplus money goes back."""

    payment: Payment
    charge: ProviderCharge
    surplus: bool


async def insert_captures(tx: Transaction, captures: Sequence[Capture]) -> None:
    """Each under the provider's own id: a second time is a violation."""
    statement = text(
        "INSERT INTO captures (provider, charge_id, payment_id, amount_cents, currency, surplus)"
        " SELECT t.provider, t.charge_id, t.payment_id, t.amount_cents, t.currency, t.surplus"
        " FROM unnest(CAST(:providers AS text[]), CAST(:charge_ids AS text[]),"
        " CAST(:payment_ids AS uuid[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[]),"
        " CAST(:surplus AS boolean[]))"
        " AS t(provider, charge_id, payment_id, amount_cents, currency, surplus)"
    )
    values = {
        "providers": [c.payment.provider for c in captures],
        "charge_ids": [c.charge.charge_id for c in captures],
        "payment_ids": [c.payment.payment_id for c in captures],
        "amounts": [c.charge.amount_cents for c in captures],
        "currencies": [c.charge.currency for c in captures],
        "surplus": [c.surplus for c in captures],
    }
    await tx.execute(statement, values)


async def insert_provider_events(
    tx: Transaction, events: Sequence[tuple[str, str, UUID]]
) -> set[tuple[str, str]]:
    """Claim (provider, provider_event_id, payment_id); those that were not there before."""
    statement = text(
        "INSERT INTO provider_events (provider, provider_event_id, payment_id)"
        " SELECT t.provider, t.provider_event_id, t.payment_id FROM unnest("
        " CAST(:providers AS text[]), CAST(:event_ids AS text[]), CAST(:payment_ids AS uuid[]))"
        " AS t(provider, provider_event_id, payment_id)"
        " ON CONFLICT (provider, provider_event_id) DO NOTHING"
        " RETURNING provider, provider_event_id"
    )
    ordered = sorted(set(events))
    values = {
        "providers": [event[0] for event in ordered],
        "event_ids": [event[1] for event in ordered],
        "payment_ids": [event[2] for event in ordered],
    }
    return {(row.provider, row.provider_event_id) for row in await tx.execute(statement, values)}


@dataclass(frozen=True, slots=True)
class Overdue:
    """A pending payment to ask about, and what the database's clock says of it.

    `absence_counts`: it is so old that a provider which does not know it never will.
    """

    payment: Payment
    hold_is_over: bool
    absence_counts: bool


async def is_anything_due(tx: Transaction, provider: str) -> bool:
    """Whether there is anything to claim; a look costs less than a claim."""
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM payments p WHERE p.status = 'pending'"
        " AND p.provider = CAST(:provider AS text) AND p.next_check_at <= now())"
        " OR EXISTS (SELECT 1 FROM refunds r WHERE r.status IN ('pending', 'submitted')"
        " AND r.provider = CAST(:provider AS text) AND r.next_attempt_at <= now()) AS is_due"
    )
    return bool((await tx.execute(statement, {"provider": provider})).scalar_one())


async def claim_overdue(
    tx: Transaction,
    provider: str,
    retry_policy: RetryPolicy,
    absent_after_seconds: float,
    limit: int,
) -> list[Overdue]:
    """Pending payments to ask about now, each handed to one process.

    The next question is put off by a growing pause, or to shortly before the hold expires.
    """
    statement = text(
        "UPDATE payments AS p SET checks = p.checks + 1, next_check_at = LEAST("  # noqa: S608 constants
        " now() + CAST(LEAST(p.checks + 1, 20) AS double precision)"
        " * CAST(:retry AS double precision) * interval '1 second',"
        " CASE WHEN p.hold_expires_at"
        " - CAST(:ask_before AS double precision) * interval '1 second' > now()"
        " THEN p.hold_expires_at - CAST(:ask_before AS double precision) * interval '1 second' END)"
        " WHERE p.payment_id IN (SELECT o.payment_id FROM payments o"
        " WHERE o.status = 'pending' AND o.provider = CAST(:provider AS text)"
        " AND o.next_check_at <= now() ORDER BY o.next_check_at ASC, o.payment_id ASC"
        " LIMIT CAST(:limit AS bigint))"
        f" RETURNING {PAYMENT_COLUMNS},"
        " p.hold_expires_at + CAST(:cancel_after AS double precision) * interval '1 second'"
        " < now() AS hold_is_over,"
        " p.created_at + CAST(:absent_after AS double precision) * interval '1 second' < now()"
        " AS absence_counts"
    )
    values = {
        "provider": provider,
        "retry": retry_policy.retry_seconds,
        "ask_before": retry_policy.ask_before_seconds,
        "cancel_after": retry_policy.cancel_after_seconds,
        "absent_after": absent_after_seconds,
        "limit": limit,
    }
    rows = await tx.execute(statement, values)
    return [Overdue(_payment(row), row.hold_is_over, row.absence_counts) for row in rows]
