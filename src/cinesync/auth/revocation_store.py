"""Statements over ended sessions whose access tokens may still be good."""

from datetime import timedelta
from uuid import UUID

from cinesync.chassis.database import Transaction, text


async def revoke_session(tx: Transaction, session_id: UUID) -> UUID | None:
    """End a family, and whose it was; None: it had ended. Its row stays until it would have
    expired."""
    statement = text(
        "WITH ended AS (UPDATE sessions SET revoked_at = now()"
        " WHERE session_id = CAST(:session_id AS uuid) AND revoked_at IS NULL"
        " RETURNING session_id, customer_id),"
        " told AS (INSERT INTO revocations (session_id, is_guest)"
        " SELECT session_id, FALSE FROM ended ON CONFLICT (session_id) DO NOTHING"
        " RETURNING session_id)"
        " SELECT customer_id FROM ended"
    )
    rows = await tx.execute(statement, {"session_id": session_id})
    customer_id: UUID | None = rows.scalar_one_or_none()
    return customer_id


async def revoke_sessions_of(tx: Transaction, customer_id: UUID) -> None:
    """End every family of a customer, or the one token of a guest."""
    statement = text(
        "WITH ended AS (UPDATE sessions SET revoked_at = now()"
        " WHERE customer_id = CAST(:customer_id AS uuid) AND revoked_at IS NULL"
        " RETURNING session_id)"
        " INSERT INTO revocations (session_id, is_guest)"
        " SELECT session_id, FALSE FROM ended"
        " UNION ALL SELECT customer_id, TRUE FROM customers_local"
        " WHERE customer_id = CAST(:customer_id AS uuid) AND role = 'guest'"
        " ON CONFLICT (session_id) DO NOTHING"
    )
    await tx.execute(statement, {"customer_id": customer_id})


async def list_revocations(
    tx: Transaction, lifetime: timedelta, limit: int, *, is_guest: bool
) -> list[tuple[UUID, int, int]]:
    """Session, when it ended, until when a token may name it (Unix seconds); the newest first."""
    statement = text(
        "SELECT session_id, CAST(extract(epoch FROM revoked_at) AS bigint) AS ended_at,"
        " CAST(extract(epoch FROM revoked_at + CAST(:lifetime AS interval)) AS bigint) AS until"
        " FROM revocations WHERE is_guest = CAST(:is_guest AS boolean)"
        " AND revoked_at > now() - CAST(:lifetime AS interval)"
        " ORDER BY revoked_at DESC, session_id DESC LIMIT CAST(:limit AS bigint)"
    )
    values = {"lifetime": lifetime, "is_guest": is_guest, "limit": limit}
    return [
        (row.session_id, row.ended_at, row.until) for row in await tx.execute(statement, values)
    ]


async def delete_old_revocations(tx: Transaction, lifetime: timedelta) -> None:
    """Those whose last token has expired; `lifetime` is the longest of any token."""
    statement = text(
        "DELETE FROM revocations WHERE revoked_at <= now() - CAST(:lifetime AS interval)"
    )
    await tx.execute(statement, {"lifetime": lifetime})
