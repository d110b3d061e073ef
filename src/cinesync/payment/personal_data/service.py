"""A customer's personal data: exported for themselves, anonymized when they are erased."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.contracts.auth import CustomerErased
from cinesync.payment.personal_data import store


async def export_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> tuple[list[dict[str, Any]], UUID | None]:
    """A page of all data, and the id of its last payment if there are more."""
    rows = await store.payments_page(tx, customer_id, after, limit + 1)
    page = rows[:limit]
    payment_ids = [row["payment_id"] for row in page]
    items = [{"kind": "payment", **row} for row in page]
    items += [{"kind": "capture", **row} for row in await store.captures_of(tx, payment_ids)]
    items += [{"kind": "refund", **row} for row in await store.refunds_of(tx, payment_ids)]
    items += [{"kind": "dispute", **row} for row in await store.disputes_of(tx, payment_ids)]
    return items, page[-1]["payment_id"] if rows[limit:] else None


async def anonymize_payments(tx: Transaction, erased: Sequence[CustomerErased]) -> None:
    """Forget who paid. Each payment stays, with an owner of its own who does not exist."""
    payment_ids = await store.decided_payments(tx, [event.customer_id for event in erased])
    if payment_ids:
        owners = [(payment_id, clock.new_id()) for payment_id in payment_ids]
        await store.anonymize(tx, owners)
