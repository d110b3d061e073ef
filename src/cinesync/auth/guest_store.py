"""Statements about guests: customers without a password, who buy once."""

from collections.abc import Sequence
from uuid import UUID

from cinesync.chassis.database import Transaction, text


async def find_guests(
    tx: Transaction, after: UUID, before: UUID, limit: int
) -> tuple[UUID | None, list[UUID]]:
    """A stretch of customers in key order: where it ended (None: at `before`), and its guests."""
    statement = text(
        "SELECT customer_id, role = 'guest' AS is_guest FROM customers_local"
        " WHERE customer_id > CAST(:after AS uuid) AND customer_id < CAST(:before AS uuid)"
        " ORDER BY customer_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"after": after, "before": before, "limit": limit}
    rows = (await tx.execute(statement, values)).all()
    reached = rows[-1].customer_id if rows else None
    return reached, [row.customer_id for row in rows if row.is_guest]


async def delete_guests(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """Never an account, whatever the ids say."""
    statement = text(
        "DELETE FROM customers_local WHERE customer_id = ANY(CAST(:customer_ids AS uuid[]))"
        " AND role = 'guest'"
    )
    await tx.execute(statement, {"customer_ids": list(customer_ids)})
