"""Statements over refunds and disputes, one question each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from cinesync.chassis.database import Row, Transaction, text
from cinesync.contracts.payment import PaymentDisputed, PaymentRefundFailed
from cinesync.payment.model import Refund, RefundStatus
from cinesync.payment.refund_model import Dispute, DisputeStatus

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
COLUMNS: Final = ", ".join(f"r.{name}" for name in _FIELDS)
READ: Final = f"{COLUMNS}, r.done_at IS NOT NULL AS was_done"
_TYPES: Final = {
    "refund_id": "uuid",
    "payment_id": "uuid",
    "amount_cents": "bigint",
    "surplus": "boolean",
    "unasked_cents": "bigint",
}
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
    values = dict(zip((*_FIELDS, "was_done"), row, strict=False))
    values["status"] = RefundStatus(values["status"])
    return Refund(**values)


def _dispute(row: Row) -> Dispute:
    values = dict(zip(_DISPUTE_FIELDS, row, strict=False))
    values["status"] = DisputeStatus(values["status"])
    return Dispute(**values)


def _columns(refunds: Iterable[Refund]) -> dict[str, Any]:
    rows = list(refunds)
    return {name: [getattr(refund, name) for refund in rows] for name in _FIELDS}


async def refund_sources(tx: Transaction, sources: Sequence[str]) -> set[str]:
    """Those of `sources` that have their refund already."""
    statement = text("SELECT source FROM refunds WHERE source = ANY(CAST(:sources AS text[]))")
    return {row.source for row in await tx.execute(statement, {"sources": list(sources)})}


async def insert_refunds(tx: Transaction, refunds: Sequence[Refund]) -> None:
    """Each source once: a second time is a violation."""
    arrays = ", ".join(f"CAST(:{name} AS {_TYPES.get(name, 'text')}[])" for name in _FIELDS)
    statement = text(
        f"INSERT INTO refunds ({', '.join(_FIELDS)}, done_at)"  # noqa: S608 constants
        f" SELECT {COLUMNS}, CASE WHEN r.status = 'done' THEN now() END"
        f" FROM unnest({arrays}) AS r({', '.join(_FIELDS)})"
    )
    await tx.execute(statement, _columns(refunds))


async def update_refunds(tx: Transaction, refunds: Sequence[Refund]) -> None:
    """Write where each refund stands; the caller has locked their payments."""
    statement = text(
        "UPDATE refunds AS r SET status = t.status, provider_refund_id = t.provider_refund_id,"
        " last_error = t.last_error, unasked_cents = t.unasked_cents,"
        " attempts = CASE WHEN t.status IN ('pending', 'submitted') THEN 0 ELSE r.attempts END,"
        " next_attempt_at = CASE WHEN t.status = 'pending' THEN now() ELSE r.next_attempt_at END,"
        " done_at = CASE WHEN t.status = 'done' THEN now() ELSE r.done_at END,"
        " changed_at = now()"
        " FROM unnest(CAST(:refund_ids AS uuid[]), CAST(:statuses AS text[]),"
        " CAST(:provider_refund_ids AS text[]), CAST(:errors AS text[]),"
        " CAST(:unasked AS bigint[]))"
        " AS t(refund_id, status, provider_refund_id, last_error, unasked_cents)"
        " WHERE r.refund_id = t.refund_id"
    )
    ordered = sorted(refunds, key=lambda refund: refund.refund_id)
    values = {
        "refund_ids": [r.refund_id for r in ordered],
        "statuses": [r.status.value for r in ordered],
        "provider_refund_ids": [r.provider_refund_id for r in ordered],
        "errors": [r.last_error for r in ordered],
        "unasked": [r.unasked_cents for r in ordered],
    }
    await tx.execute(statement, values)


async def refunds_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Refund]:
    """All refunds of these payments, the oldest first."""
    statement = text(
        f"SELECT {READ} FROM refunds r"  # noqa: S608 a constant
        " WHERE r.payment_id = ANY(CAST(:payment_ids AS uuid[]))"
        " ORDER BY r.created_at ASC, r.refund_id ASC"
    )
    rows = await tx.execute(statement, {"payment_ids": sorted(set(payment_ids))})
    return [_refund(row) for row in rows]


async def payments_of_refunds(
    tx: Transaction, provider: str, refund_ids: Sequence[UUID], provider_refund_ids: Sequence[str]
) -> dict[UUID | str, UUID]:
    """The payments of refunds, by our id and by the provider's."""
    statement = text(
        "SELECT r.refund_id, r.provider_refund_id, r.payment_id FROM refunds r"
        " WHERE r.provider = CAST(:provider AS text)"
        " AND (r.refund_id = ANY(CAST(:refund_ids AS uuid[]))"
        " OR r.provider_refund_id = ANY(CAST(:provider_refund_ids AS text[])))"
    )
    values = {
        "provider": provider,
        "refund_ids": list(refund_ids),
        "provider_refund_ids": [name for name in provider_refund_ids if name],
    }
    found: dict[UUID | str, UUID] = {}
    for row in await tx.execute(statement, values):
        found[row.refund_id] = row.payment_id
        found[row.provider_refund_id] = row.payment_id
    return found


async def captures_named(
    tx: Transaction, provider: str, charge_ids: Sequence[str]
) -> dict[str, tuple[UUID, bool]]:
    """The payment of each captured charge, and whether it was surplus."""
    statement = text(
        "SELECT charge_id, payment_id, surplus FROM captures"
        " WHERE provider = CAST(:provider AS text)"
        " AND charge_id = ANY(CAST(:charge_ids AS text[]))"
    )
    rows = await tx.execute(statement, {"provider": provider, "charge_ids": list(charge_ids)})
    return {row.charge_id: (row.payment_id, row.surplus) for row in rows}


async def claim_refunds(
    tx: Transaction, provider: str, retry_seconds: float, retry_seconds_max: float, limit: int
) -> list[Refund]:
    """Refunds to make, or to ask about, now. Their next attempt is put off first, so that one
    process has each; each pause is twice the one before."""
    statement = text(
        "UPDATE refunds AS r SET attempts = r.attempts + 1, next_attempt_at = now()"  # noqa: S608 a constant
        " + LEAST(CAST(:retry AS double precision)"
        " * power(2.0, CAST(LEAST(r.attempts, 30) AS double precision)),"
        " CAST(:retry_max AS double precision)) * interval '1 second'"
        " WHERE r.refund_id IN (SELECT d.refund_id FROM refunds d"
        " WHERE d.status IN ('pending', 'submitted') AND d.provider = CAST(:provider AS text)"
        " AND d.next_attempt_at <= now() ORDER BY d.next_attempt_at ASC, d.refund_id ASC"
        " LIMIT CAST(:limit AS bigint))"
        f" RETURNING {READ}"
    )
    values = {
        "provider": provider,
        "retry": retry_seconds,
        "retry_max": retry_seconds_max,
        "limit": limit,
    }
    return [_refund(row) for row in await tx.execute(statement, values)]


async def note_refund_errors(
    tx: Transaction, errors: Mapping[UUID, str], attempts_max: int
) -> list[Refund]:
    """Why refunds are not made yet, for people; those that are now given up."""
    statement = text(
        "UPDATE refunds AS r SET last_error = t.last_error,"  # noqa: S608 a constant
        " status = CASE WHEN r.status = 'pending' AND r.attempts >= CAST(:most AS bigint)"
        " THEN 'needs_attention' ELSE r.status END, changed_at = now()"
        " FROM unnest(CAST(:refund_ids AS uuid[]), CAST(:errors AS text[]))"
        " AS t(refund_id, last_error)"
        " WHERE r.refund_id = t.refund_id AND r.status IN ('pending', 'submitted')"
        f" RETURNING {READ}"
    )
    ordered = sorted(errors)
    values = {
        "refund_ids": ordered,
        "errors": [errors[refund_id] for refund_id in ordered],
        "most": attempts_max,
    }
    noted = [_refund(row) for row in await tx.execute(statement, values)]
    return [refund for refund in noted if refund.status is RefundStatus.NEEDS_ATTENTION]


async def find_refund(tx: Transaction, refund_id: UUID) -> Refund | None:
    """One refund."""
    statement = text(
        f"SELECT {READ} FROM refunds r WHERE r.refund_id = CAST(:refund_id AS uuid)"  # noqa: S608 a constant
    )
    row = (await tx.execute(statement, {"refund_id": refund_id})).first()
    return _refund(row) if row else None


async def disputes_named(
    tx: Transaction, provider: str, names: Sequence[str]
) -> dict[str, Dispute]:
    """Disputes by the provider's names; the caller has locked their payments."""
    statement = text(
        f"SELECT {', '.join(_DISPUTE_FIELDS)} FROM disputes"  # noqa: S608 a constant
        " WHERE provider = CAST(:provider AS text)"
        " AND provider_dispute_id = ANY(CAST(:names AS text[]))"
    )
    rows = await tx.execute(statement, {"provider": provider, "names": list(names)})
    return {dispute.provider_dispute_id: dispute for dispute in map(_dispute, rows)}


async def put_dispute(tx: Transaction, dispute: Dispute) -> None:
    """Write where a dispute stands."""
    names = ", ".join(_DISPUTE_FIELDS)
    statement = text(
        f"INSERT INTO disputes ({names}) VALUES (CAST(:dispute_id AS uuid),"  # noqa: S608 a constant
        " CAST(:payment_id AS uuid), CAST(:provider AS text),"
        " CAST(:provider_dispute_id AS text), CAST(:charge_id AS text),"
        " CAST(:amount_cents AS bigint), CAST(:currency AS text), CAST(:status AS text),"
        " CAST(:reason AS text), CAST(:due_at AS timestamptz))"
        " ON CONFLICT (provider, provider_dispute_id) DO UPDATE SET status = excluded.status,"
        " amount_cents = excluded.amount_cents, reason = excluded.reason,"
        " due_at = excluded.due_at, changed_at = now()"
    )
    await tx.execute(statement, {name: getattr(dispute, name) for name in _DISPUTE_FIELDS})


async def keep_failures(tx: Transaction, failures: Sequence[PaymentRefundFailed]) -> None:
    """What is told of them, beside the refunds, which may be made again."""
    statement = text(
        "INSERT INTO refund_failures (event_id, refund_id, amount_cents, currency, was_refunded,"
        " failed_at) SELECT t.event_id, t.refund_id, t.amount_cents, t.currency, t.was_refunded,"
        " t.failed_at FROM unnest(CAST(:event_ids AS uuid[]), CAST(:refund_ids AS uuid[]),"
        " CAST(:cents AS bigint[]), CAST(:currencies AS text[]), CAST(:were AS boolean[]),"
        " CAST(:times AS timestamptz[]))"
        " AS t(event_id, refund_id, amount_cents, currency, was_refunded, failed_at)"
    )
    values = {
        "event_ids": [one.event_id for one in failures],
        "refund_ids": [one.refund_id for one in failures],
        "cents": [one.amount_cents for one in failures],
        "currencies": [one.currency for one in failures],
        "were": [one.was_refunded for one in failures],
        "times": [one.occurred_at for one in failures],
    }
    await tx.execute(statement, values)


async def keep_dispute_change(tx: Transaction, change: PaymentDisputed) -> None:
    """What is told of it: the dispute itself has only its last state."""
    statement = text(
        "INSERT INTO dispute_changes (event_id, dispute_id, amount_cents, currency, status,"
        " changed_at) VALUES (CAST(:event_id AS uuid), CAST(:dispute_id AS uuid),"
        " CAST(:cents AS bigint), CAST(:currency AS text), CAST(:status AS text),"
        " CAST(:at AS timestamptz))"
    )
    values = {
        "event_id": change.event_id,
        "dispute_id": change.dispute_id,
        "cents": change.amount_cents,
        "currency": change.currency,
        "status": change.status,
        "at": change.occurred_at,
    }
    await tx.execute(statement, values)


async def attention_page(
    tx: Transaction, after: tuple[datetime, UUID] | None, limit: int
) -> list[Row]:
    """What a person has to see to, the oldest first: refunds that nobody makes any more, and
    disputes that are not decided."""
    statement = text(
        "SELECT a.kind, a.id, a.payment_id, p.hold_id, p.customer_id, a.provider, a.provider_id,"
        " a.amount_cents, a.currency, a.status, a.reason, a.error, a.since, a.due_at FROM ("
        "SELECT 'refund' AS kind, r.refund_id AS id, r.payment_id, r.provider,"
        " r.provider_refund_id AS provider_id, r.amount_cents, r.currency, r.status, r.reason,"
        " r.last_error AS error, r.created_at AS since, CAST(NULL AS timestamptz) AS due_at"
        " FROM refunds r WHERE r.status IN ('needs_attention', 'failed')"
        " UNION ALL SELECT 'dispute' AS kind, d.dispute_id AS id, d.payment_id, d.provider,"
        " d.provider_dispute_id AS provider_id, d.amount_cents, d.currency, d.status, d.reason,"
        " '' AS error, d.created_at AS since, d.due_at"
        " FROM disputes d WHERE d.status IN ('inquiry', 'open')"
        ") a JOIN payments p ON p.payment_id = a.payment_id"
        " WHERE CAST(:at AS timestamptz) IS NULL"
        " OR (a.since, a.id) > (CAST(:at AS timestamptz), CAST(:id AS uuid))"
        " ORDER BY a.since ASC, a.id ASC LIMIT CAST(:limit AS bigint)"
    )
    at, key = after or (None, None)
    return list(await tx.execute(statement, {"at": at, "id": key, "limit": limit}))
