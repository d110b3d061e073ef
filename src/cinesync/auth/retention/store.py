"""Statements over guests: customers without a password."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, delete, select

from cinesync.auth.tables import customers_local
from cinesync.chassis.database import Transaction, any_of, compiled

FIND_GUESTS = compiled(
    select(customers_local.c.customer_id, (customers_local.c.role == "guest").label("is_guest"))
    .where(
        customers_local.c.customer_id > bindparam("after"),
        customers_local.c.customer_id < bindparam("before"),
    )
    .order_by(customers_local.c.customer_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def find_guests(
    tx: Transaction, after: UUID, before: UUID, limit: int
) -> tuple[UUID | None, list[UUID]]:
    """A batch of customers in key order: its last id (None: no more), and its guests."""
    values = {"after": after, "before": before, "limit": limit}
    rows = await tx.execute(FIND_GUESTS, values)
    reached = rows[-1].customer_id if rows else None
    return reached, [row.customer_id for row in rows if row.is_guest]


DELETE_GUESTS = compiled(
    delete(customers_local).where(
        any_of(customers_local.c.customer_id, "customer_ids"), customers_local.c.role == "guest"
    )
)


async def delete_guests(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """Delete guests; ids of accounts are ignored."""
    await tx.execute(DELETE_GUESTS, {"customer_ids": list(customer_ids)})
