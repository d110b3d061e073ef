"""Statements over what we recorded, to compare it with a provider's statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
)

from cinesync.chassis.database import Row, Statement, Transaction, compiled
from cinesync.chassis.database.bulk import any_of
from cinesync.payment.tables import captures, disputes, payments, refunds

PAGE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """What we recorded of a movement, under its id in the statement index."""

    entry_id: str
    amount_cents: int
    currency: str


CAPTURES: Final = compiled(
    select(captures.c.charge_id, captures.c.amount_cents, captures.c.currency).where(
        captures.c.provider == bindparam("provider"), any_of(captures.c.charge_id, "charge_ids")
    )
)


async def captures_by_charge(
    tx: Transaction, provider: str, charge_ids: Sequence[str]
) -> dict[str, Recorded]:
    """By charge id."""
    rows = await tx.execute(CAPTURES, {"provider": provider, "charge_ids": list(charge_ids)})
    return {row.charge_id: Recorded(*row) for row in rows}


_REFUND_ID: Final = cast(refunds.c.refund_id, Text).label("refund_id")
REFUNDS: Final = compiled(
    select(
        _REFUND_ID, refunds.c.provider_refund_id, refunds.c.amount_cents, refunds.c.currency
    ).where(
        refunds.c.provider == bindparam("provider"),
        or_(
            any_of(refunds.c.refund_id, "refund_ids"),
            any_of(refunds.c.provider_refund_id, "provider_refund_ids"),
        ),
    )
)


async def refunds_by_any_id(
    tx: Transaction, provider: str, refund_ids: Sequence[UUID], provider_refund_ids: Sequence[str]
) -> dict[str, Recorded]:
    """By our refund id, and by the provider's."""
    values = {
        "provider": provider,
        "refund_ids": list(refund_ids),
        "provider_refund_ids": list(provider_refund_ids),
    }
    found: dict[str, Recorded] = {}
    for row in await tx.execute(REFUNDS, values):
        found[row.refund_id] = Recorded(row.refund_id, row.amount_cents, row.currency)
        if row.provider_refund_id:
            found[row.provider_refund_id] = found[row.refund_id]
    return found


DISPUTES: Final = compiled(
    select(disputes.c.provider_dispute_id, disputes.c.amount_cents, disputes.c.currency).where(
        disputes.c.provider == bindparam("provider"),
        any_of(disputes.c.provider_dispute_id, "provider_dispute_ids"),
    )
)


async def disputes_by_provider_id(
    tx: Transaction, provider: str, provider_dispute_ids: Sequence[str]
) -> dict[str, Recorded]:
    """By the provider's dispute id."""
    values = {"provider": provider, "provider_dispute_ids": list(provider_dispute_ids)}
    return {row.provider_dispute_id: Recorded(*row) for row in await tx.execute(DISPUTES, values)}


PENDING: Final = compiled(
    select(payments.c.payment_id).where(
        payments.c.status == "pending", any_of(payments.c.payment_id, "payment_ids")
    )
)


async def pending_payments(tx: Transaction, payment_ids: Sequence[UUID]) -> frozenset[str]:
    """Those of these payments that are pending."""
    rows = await tx.execute(PENDING, {"payment_ids": list(payment_ids)})
    return frozenset(str(row.payment_id) for row in rows)


def _page(
    statement: Select[Any], key: ColumnElement[Any], changed_at: ColumnElement[datetime]
) -> Statement:
    """The next rows by `key` of one provider that did not change since `before`."""
    table = key.table
    return compiled(
        statement.where(
            table.c.provider == bindparam("provider"),
            key > bindparam("after", type_=key.type),
            changed_at < bindparam("before", type_=DateTime(timezone=True)),
        )
        .order_by(key.asc())
        .limit(bindparam("limit", type_=BigInteger))
    )


CAPTURES_PAGE: Final = _page(
    select(
        captures.c.charge_id, captures.c.payment_id, captures.c.amount_cents, captures.c.currency
    ),
    captures.c.charge_id,
    captures.c.captured_at,
)
REFUNDS_PAGE: Final = _page(
    select(
        _REFUND_ID,
        refunds.c.payment_id,
        refunds.c.provider_refund_id,
        refunds.c.amount_cents,
        refunds.c.currency,
        refunds.c.status,
    ),
    refunds.c.refund_id,
    func.coalesce(refunds.c.changed_at, refunds.c.done_at, refunds.c.created_at),
)
DISPUTES_PAGE: Final = _page(
    select(
        disputes.c.dispute_id,
        disputes.c.provider_dispute_id,
        disputes.c.payment_id,
        disputes.c.amount_cents,
        disputes.c.currency,
        disputes.c.status,
    ),
    disputes.c.dispute_id,
    disputes.c.changed_at,
)


async def captures_page(
    tx: Transaction, provider: str, after: str, before: datetime
) -> Sequence[Row]:
    """Captures from before `before`, by charge id."""
    values = {"provider": provider, "after": after, "before": before, "limit": PAGE_ROWS}
    return await tx.execute(CAPTURES_PAGE, values)


async def refunds_page(
    tx: Transaction, provider: str, after: UUID, before: datetime
) -> Sequence[Row]:
    """Refunds that did not change since `before`, by refund id."""
    values = {"provider": provider, "after": after, "before": before, "limit": PAGE_ROWS}
    return await tx.execute(REFUNDS_PAGE, values)


async def disputes_page(
    tx: Transaction, provider: str, after: UUID, before: datetime
) -> Sequence[Row]:
    """Disputes that did not change since `before`, by dispute id."""
    values = {"provider": provider, "after": after, "before": before, "limit": PAGE_ROWS}
    return await tx.execute(DISPUTES_PAGE, values)
