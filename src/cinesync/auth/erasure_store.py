"""Statements over what auth knows of one customer: to show it, and to forget it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.auth.model import Email
from cinesync.chassis.database import Transaction, text

PART_ROWS_MAX = 1_000


async def account(tx: Transaction, customer_id: UUID) -> dict[str, Any] | None:
    """The account, without what opens it."""
    statement = text(
        "SELECT customer_id, region, email, name, phone, role, created_at, updated_at,"
        " password_hash IS NOT NULL AS has_password FROM customers_local"
        " WHERE customer_id = CAST(:customer_id AS uuid) AND erased_at IS NULL"
    )
    row = (await tx.execute(statement, {"customer_id": customer_id})).one_or_none()
    return None if row is None else dict(row)


async def sessions(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """Where they signed in, the latest first."""
    statement = text(
        "SELECT session_id, address, created_at, rotated_at AS used_at, expires_at, revoked_at"
        " FROM sessions WHERE customer_id = CAST(:customer_id AS uuid)"
        " ORDER BY created_at DESC, session_id DESC LIMIT CAST(:limit AS bigint)"
    )
    values = {"customer_id": customer_id, "limit": PART_ROWS_MAX}
    return [dict(row) for row in await tx.execute(statement, values)]


async def failures(tx: Transaction, account_key: str) -> list[dict[str, Any]]:
    """Who tried their password in vain, the latest first."""
    statement = text(
        "SELECT address, failed_at FROM sign_in_failures"
        " WHERE account_key = CAST(:account_key AS text)"
        " ORDER BY failed_at DESC LIMIT CAST(:limit AS bigint)"
    )
    values = {"account_key": account_key, "limit": PART_ROWS_MAX}
    return [dict(row) for row in await tx.execute(statement, values)]


async def links(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """What was mailed to them and can still be used."""
    statement = text(
        "SELECT created_at, expires_at FROM sign_in_links"
        " WHERE customer_id = CAST(:customer_id AS uuid) ORDER BY created_at ASC"
    )
    return [dict(row) for row in await tx.execute(statement, {"customer_id": customer_id})]


async def audit_entries_of(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """What the audit log has of them, the latest first."""
    statement = text(
        "SELECT occurred_at, action, address, object_kind, object_id, reason FROM audit_log"
        " WHERE actor_id = CAST(:customer_id AS uuid)"
        " ORDER BY entry_id DESC LIMIT CAST(:limit AS bigint)"
    )
    values = {"customer_id": customer_id, "limit": PART_ROWS_MAX}
    return [dict(row) for row in await tx.execute(statement, values)]


async def guests_with(tx: Transaction, email: Email, limit: int) -> list[UUID]:
    """Who bought with this e-mail and without an account, the oldest first."""
    statement = text(
        "SELECT customer_id FROM customers_local"
        " WHERE email_norm IN (CAST(:spelling AS text), CAST(:email_norm AS text))"
        " AND role = 'guest' AND erased_at IS NULL"
        " ORDER BY created_at ASC, customer_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"email_norm": email.norm, "spelling": email.spelling, "limit": limit}
    return [row.customer_id for row in await tx.execute(statement, values)]


async def anonymise(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Ids and dates stay, for the books; those that were not erased before."""
    statement = text(
        "UPDATE customers_local SET email = '', email_norm = '', name = '', phone = NULL,"
        " password_hash = NULL, erased_at = now(), updated_at = now()"
        " WHERE customer_id = ANY(CAST(:customer_ids AS uuid[])) AND erased_at IS NULL"
        " RETURNING customer_id"
    )
    rows = await tx.execute(statement, {"customer_ids": sorted(customer_ids)})
    return sorted(row.customer_id for row in rows)


# Everything else that says where they were, or how to reach them.
TRACES_BY_ID = tuple(
    text(f"DELETE FROM {table} WHERE customer_id = ANY(CAST(:customer_ids AS uuid[]))")  # noqa: S608 our own names
    for table in ("customer_emails", "sessions", "sign_in_links")
)
TRACES_BY_KEY = tuple(
    text(f"DELETE FROM {table} WHERE account_key = CAST(:account_key AS text)")  # noqa: S608 our own names
    for table in ("sign_in_failures", "throttled_actions")
)


async def delete_traces(tx: Transaction, customer_ids: Sequence[UUID], account_key: str) -> None:
    """Sessions, links, failures, and the claim on the e-mail."""
    for statement in TRACES_BY_ID:
        await tx.execute(statement, {"customer_ids": sorted(customer_ids)})
    for statement in TRACES_BY_KEY:
        await tx.execute(statement, {"account_key": account_key})
