"""Statements over ended sessions whose access tokens may still be valid."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Interval, bindparam, cast, delete, extract, func, select

from cinesync.auth.tables import revocations, sessions
from cinesync.chassis.database import Transaction, compiled, text

REVOKE_SESSION = text(
    "WITH ended AS (UPDATE sessions SET revoked_at = now()"
    " WHERE session_id = :session_id AND revoked_at IS NULL"
    " RETURNING session_id, customer_id),"
    " listed AS (INSERT INTO revocations (session_id, is_guest)"
    " SELECT session_id, FALSE FROM ended ON CONFLICT (session_id) DO NOTHING"
    " RETURNING session_id)"
    " SELECT customer_id FROM ended",
    sessions,
)


async def revoke_session(tx: Transaction, session_id: UUID) -> UUID | None:
    """End a session and return its customer; None: it had ended before.

    Its row stays until the session would have expired.
    """
    rows = await tx.execute(REVOKE_SESSION, {"session_id": session_id})
    customer_id: UUID | None = rows.scalar_one_or_none()
    return customer_id


REVOKE_SESSIONS_OF = text(
    "WITH ended AS (UPDATE sessions SET revoked_at = now()"
    " WHERE customer_id = :customer_id AND revoked_at IS NULL RETURNING session_id)"
    " INSERT INTO revocations (session_id, is_guest)"
    " SELECT session_id, FALSE FROM ended"
    " UNION ALL SELECT customer_id, TRUE FROM customers_local"
    " WHERE customer_id = :customer_id AND role = 'guest'"
    " ON CONFLICT (session_id) DO NOTHING",
    sessions,
)


async def revoke_sessions_of(tx: Transaction, customer_id: UUID) -> None:
    """End all sessions of a customer, or the one token of a guest."""
    await tx.execute(REVOKE_SESSIONS_OF, {"customer_id": customer_id})


LIST_REVOCATIONS = compiled(
    select(
        revocations.c.session_id,
        cast(extract("epoch", revocations.c.revoked_at), BigInteger).label("ended_at"),
        cast(
            extract("epoch", revocations.c.revoked_at + bindparam("lifetime", type_=Interval)),
            BigInteger,
        ).label("until"),
    )
    .where(
        revocations.c.is_guest == bindparam("is_guest"),
        revocations.c.revoked_at > func.now() - bindparam("lifetime", type_=Interval),
    )
    .order_by(revocations.c.revoked_at.desc(), revocations.c.session_id.desc())
    .limit(bindparam("limit", type_=BigInteger))
)


async def list_revocations(
    tx: Transaction, lifetime: timedelta, limit: int, *, is_guest: bool
) -> list[tuple[UUID, int, int]]:
    """Session, its end, and when its last token expires (Unix seconds); the newest first."""
    values = {"lifetime": lifetime, "is_guest": is_guest, "limit": limit}
    return [
        (row.session_id, row.ended_at, row.until)
        for row in await tx.execute(LIST_REVOCATIONS, values)
    ]


DELETE_OLD_REVOCATIONS = compiled(
    delete(revocations).where(
        revocations.c.revoked_at <= func.now() - bindparam("lifetime", type_=Interval)
    )
)


async def delete_old_revocations(tx: Transaction, lifetime: timedelta) -> None:
    """Delete those whose last token has expired; `lifetime` is the longest of any token."""
    await tx.execute(DELETE_OLD_REVOCATIONS, {"lifetime": lifetime})
