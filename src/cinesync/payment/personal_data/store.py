"""Statements over one customer's data: to show it, and to anonymize it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Interval,
    Text,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)

from cinesync.chassis.database import Transaction, compiled
from cinesync.chassis.database.bulk import any_of, batch, matches
from cinesync.payment.schemas import Unfinished
from cinesync.payment.tables import captures, disputes, payments, refunds

PAYMENTS_PAGE: Final = compiled(
    select(
        payments.c.payment_id,
        payments.c.hold_id,
        payments.c.provider,
        payments.c.charge_id,
        payments.c.amount_cents,
        payments.c.currency,
        payments.c.status,
        payments.c.failure_reason,
        payments.c.refund_asked_cents,
        payments.c.refunded_cents,
        payments.c.idempotency_key,
        payments.c.created_at,
        payments.c.settled_at,
    )
    .where(
        payments.c.customer_id == bindparam("customer_id"),
        payments.c.payment_id > bindparam("after"),
    )
    .order_by(payments.c.payment_id.asc())
    .limit(bindparam("limit", type_=BigInteger))
)


async def payments_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> list[dict[str, Any]]:
    """A customer's payments, by id."""
    values = {"customer_id": customer_id, "after": after, "limit": limit}
    return [dict(row) for row in await tx.execute(PAYMENTS_PAGE, values)]


CAPTURES: Final = compiled(
    select(
        captures.c.payment_id,
        captures.c.provider,
        captures.c.charge_id,
        captures.c.amount_cents,
        captures.c.currency,
        captures.c.surplus,
        captures.c.captured_at,
    )
    .where(any_of(captures.c.payment_id, "payment_ids"))
    .order_by(captures.c.captured_at.asc(), captures.c.charge_id.asc())
)


async def captures_of(tx: Transaction, payment_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Captures of these payments."""
    return [dict(row) for row in await tx.execute(CAPTURES, {"payment_ids": list(payment_ids)})]


REFUNDS: Final = compiled(
    select(
        refunds.c.payment_id,
        refunds.c.refund_id,
        refunds.c.provider,
        refunds.c.charge_id,
        refunds.c.amount_cents,
        refunds.c.currency,
        refunds.c.reason,
        refunds.c.surplus,
        refunds.c.status,
        refunds.c.created_at,
        refunds.c.done_at,
    )
    .where(any_of(refunds.c.payment_id, "payment_ids"))
    .order_by(refunds.c.created_at.asc(), refunds.c.refund_id.asc())
)


async def refunds_of(tx: Transaction, payment_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Refunds of these payments, done or not."""
    return [dict(row) for row in await tx.execute(REFUNDS, {"payment_ids": list(payment_ids)})]


DISPUTES: Final = compiled(
    select(
        disputes.c.payment_id,
        disputes.c.dispute_id,
        disputes.c.provider,
        disputes.c.charge_id,
        disputes.c.amount_cents,
        disputes.c.currency,
        disputes.c.status,
        disputes.c.reason,
        disputes.c.created_at,
    )
    .where(any_of(disputes.c.payment_id, "payment_ids"))
    .order_by(disputes.c.created_at.asc(), disputes.c.dispute_id.asc())
)


async def disputes_of(tx: Transaction, payment_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Disputes of these payments."""
    return [dict(row) for row in await tx.execute(DISPUTES, {"payment_ids": list(payment_ids)})]


_OWNER: Final = payments.c.customer_id == bindparam("customer_id")
_UNFINISHED: Final = union_all(
    select(
        literal("payment").label("kind"),
        payments.c.payment_id,
        payments.c.amount_cents,
        payments.c.currency,
    ).where(
        _OWNER,
        or_(
            payments.c.status == "pending",
            (payments.c.status == "success")
            & (payments.c.settled_at > func.now() - bindparam("booking_time", type_=Interval)),
        ),
    ),
    select(literal("refund"), refunds.c.payment_id, refunds.c.amount_cents, refunds.c.currency)
    .join_from(refunds, payments, payments.c.payment_id == refunds.c.payment_id)
    .where(_OWNER, refunds.c.status.not_in(("done", "cancelled"))),
    select(literal("dispute"), disputes.c.payment_id, disputes.c.amount_cents, disputes.c.currency)
    .join_from(disputes, payments, payments.c.payment_id == disputes.c.payment_id)
    .where(_OWNER, disputes.c.status.in_(("inquiry", "open"))),
).subquery("unfinished")
UNFINISHED: Final = compiled(
    select(
        _UNFINISHED.c.kind,
        _UNFINISHED.c.payment_id,
        _UNFINISHED.c.amount_cents,
        _UNFINISHED.c.currency,
    )
    .order_by(_UNFINISHED.c.payment_id.asc(), _UNFINISHED.c.kind.asc())
    .limit(bindparam("limit", type_=BigInteger))
)


async def unfinished(
    tx: Transaction, customer_id: UUID, booking_seconds: int, limit: int
) -> list[Unfinished]:
    """Payments that are pending or succeeded less than `booking_seconds` ago, refunds that are not
    done, undecided disputes."""
    values = {
        "customer_id": customer_id,
        "booking_time": timedelta(seconds=booking_seconds),
        "limit": limit,
    }
    return [Unfinished(*row) for row in await tx.execute(UNFINISHED, values)]


DECIDED: Final = compiled(
    select(payments.c.payment_id)
    .where(any_of(payments.c.customer_id, "customer_ids"), payments.c.status != "pending")
    .order_by(payments.c.payment_id.asc())
)


async def decided_payments(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """The payments of these customers. A pending one still needs its customer."""
    rows = await tx.execute(DECIDED, {"customer_ids": sorted(customer_ids)})
    return [row.payment_id for row in rows]


OWNERS: Final = batch("owners", payments.c.payment_id, payments.c.customer_id)
ANONYMIZE: Final = compiled(
    update(payments)
    .values(
        customer_id=OWNERS.c.customer_id,
        idempotency_key=cast(OWNERS.c.payment_id, Text),
        fingerprint="",
        confirm_url="",
        trace="",
    )
    .where(matches(payments, OWNERS))
)


async def anonymize(tx: Transaction, owners: Sequence[tuple[UUID, UUID]]) -> None:
    """Give each payment a new customer id, and delete what its customer chose or saw."""
    await tx.execute(ANONYMIZE, {"owners": owners})
