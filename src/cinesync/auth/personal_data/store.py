"""Statements over all data of one customer: to show it, and to erase it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, bindparam, delete, func, select, update

from cinesync.auth import tables
from cinesync.auth.fields import Email
from cinesync.auth.tables import (
    customer_emails,
    customers_local,
    sign_in_failures,
    sign_in_links,
    throttled_actions,
)
from cinesync.chassis.database import Transaction, any_of, compiled
from cinesync.chassis.database.tables import audit_log

PART_ROWS_MAX = 1_000


ACCOUNT = compiled(
    select(
        customers_local.c.customer_id,
        customers_local.c.region,
        customers_local.c.email,
        customers_local.c.name,
        customers_local.c.phone,
        customers_local.c.role,
        customers_local.c.created_at,
        customers_local.c.updated_at,
        customers_local.c.password_hash.is_not(None).label("has_password"),
    ).where(
        customers_local.c.customer_id == bindparam("customer_id"),
        customers_local.c.erased_at.is_(None),
    )
)


async def account(tx: Transaction, customer_id: UUID) -> dict[str, Any] | None:
    """The account, without its password hash."""
    row = (await tx.execute(ACCOUNT, {"customer_id": customer_id})).one_or_none()
    return None if row is None else dict(row)


SESSIONS = compiled(
    select(
        tables.sessions.c.session_id,
        tables.sessions.c.address,
        tables.sessions.c.created_at,
        tables.sessions.c.rotated_at.label("used_at"),
        tables.sessions.c.expires_at,
        tables.sessions.c.revoked_at,
    )
    .where(tables.sessions.c.customer_id == bindparam("customer_id"))
    .order_by(tables.sessions.c.created_at.desc(), tables.sessions.c.session_id.desc())
    .limit(PART_ROWS_MAX)
)


async def sessions(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """The sessions, the latest first."""
    return [dict(row) for row in await tx.execute(SESSIONS, {"customer_id": customer_id})]


FAILURES = compiled(
    select(sign_in_failures.c.address, sign_in_failures.c.failed_at)
    .where(sign_in_failures.c.account_key == bindparam("account_key"))
    .order_by(sign_in_failures.c.failed_at.desc())
    .limit(PART_ROWS_MAX)
)


async def failures(tx: Transaction, account_key: str) -> list[dict[str, Any]]:
    """The failed sign-ins, the latest first."""
    return [dict(row) for row in await tx.execute(FAILURES, {"account_key": account_key})]


LINKS = compiled(
    select(sign_in_links.c.created_at, sign_in_links.c.expires_at)
    .where(sign_in_links.c.customer_id == bindparam("customer_id"))
    .order_by(sign_in_links.c.created_at)
)


async def links(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """The links that can still be used."""
    return [dict(row) for row in await tx.execute(LINKS, {"customer_id": customer_id})]


AUDIT_ENTRIES_OF = compiled(
    select(
        audit_log.c.occurred_at,
        audit_log.c.action,
        audit_log.c.address,
        audit_log.c.object_kind,
        audit_log.c.object_id,
        audit_log.c.reason,
    )
    .where(audit_log.c.actor_id == bindparam("customer_id"))
    .order_by(audit_log.c.entry_id.desc())
    .limit(PART_ROWS_MAX)
)


async def audit_entries_of(tx: Transaction, customer_id: UUID) -> list[dict[str, Any]]:
    """The customer's own entries in the audit log, the latest first."""
    rows = await tx.execute(AUDIT_ENTRIES_OF, {"customer_id": customer_id})
    return [dict(row) for row in rows]


GUESTS_WITH = compiled(
    select(customers_local.c.customer_id)
    .where(
        customers_local.c.email_norm.in_(
            [bindparam("spelling", type_=Text), bindparam("email_norm", type_=Text)]
        ),
        customers_local.c.role == "guest",
        customers_local.c.erased_at.is_(None),
    )
    .order_by(customers_local.c.created_at, customers_local.c.customer_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def guests_with(tx: Transaction, email: Email, limit: int) -> list[UUID]:
    """The guests with this e-mail, the oldest first."""
    values = {"email_norm": email.norm, "spelling": email.spelling, "limit": limit}
    return [row.customer_id for row in await tx.execute(GUESTS_WITH, values)]


ANONYMISE = compiled(
    update(customers_local)
    .values(
        email="",
        email_norm="",
        name="",
        phone=None,
        password_hash=None,
        erased_at=func.now(),
        updated_at=func.now(),
    )
    .where(
        any_of(customers_local.c.customer_id, "customer_ids"),
        customers_local.c.erased_at.is_(None),
    )
    .returning(customers_local.c.customer_id)
)


async def anonymise(tx: Transaction, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Erase the rows but for ids and dates; the ids of those that were not erased before."""
    rows = await tx.execute(ANONYMISE, {"customer_ids": sorted(customer_ids)})
    return sorted(row.customer_id for row in rows)


# Rows elsewhere with an e-mail, an address or an account key.
TRACES_BY_ID = tuple(
    compiled(delete(table).where(any_of(table.c.customer_id, "customer_ids")))
    for table in (customer_emails, tables.sessions, sign_in_links)
)
TRACES_BY_KEY = tuple(
    compiled(delete(table).where(table.c.account_key == bindparam("account_key")))
    for table in (sign_in_failures, throttled_actions)
)


async def delete_traces(tx: Transaction, customer_ids: Sequence[UUID], account_key: str) -> None:
    """Sessions, links, failures, and the claim on the e-mail."""
    for statement in TRACES_BY_ID:
        await tx.execute(statement, {"customer_ids": sorted(customer_ids)})
    for statement in TRACES_BY_KEY:
        await tx.execute(statement, {"account_key": account_key})
