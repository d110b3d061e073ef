"""Statements over the accounts of staff, disabled ones too."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from cinesync.auth.model import AccountRole, Email
from cinesync.chassis.database import Row, Transaction, text


@dataclass(frozen=True, slots=True)
class StaffAccount:
    """An account as those see it who administer it."""

    customer_id: UUID
    email: str
    name: str
    role: AccountRole
    created_at: datetime
    is_disabled: bool
    has_password: bool


async def find(tx: Transaction, email: Email) -> StaffAccount | None:
    """The account with this e-mail, whatever its role and state."""
    statement = text(
        "SELECT c.customer_id, c.email, c.name, c.role, c.created_at, c.disabled_at,"
        " c.password_hash IS NOT NULL AS has_password FROM customer_emails AS e"
        " JOIN customers_local AS c ON c.region = e.region AND c.customer_id = e.customer_id"
        " WHERE e.email_norm IN (CAST(:spelling AS text), CAST(:email_norm AS text))"
        " ORDER BY e.email_norm = CAST(:email_norm AS text) ASC LIMIT 1"
    )
    values = {"email_norm": email.norm, "spelling": email.spelling}
    row = (await tx.execute(statement, values)).one_or_none()
    return None if row is None else _account(row)


async def list_staff(tx: Transaction) -> list[StaffAccount]:
    """All who may do more than customers, by role and e-mail."""
    statement = text(
        "SELECT customer_id, email, name, role, created_at, disabled_at,"
        " password_hash IS NOT NULL AS has_password FROM customers_local"
        " WHERE role IN ('staff', 'manager', 'auditor') ORDER BY role ASC, email_norm ASC"
    )
    return [_account(row) for row in await tx.execute(statement)]


async def find_password_hash(tx: Transaction, customer_id: UUID) -> str | None:
    """Of an account in whichever state; None: it has none."""
    statement = text(
        "SELECT password_hash FROM customers_local WHERE customer_id = CAST(:customer_id AS uuid)"
    )
    hashed: str | None = (await tx.execute(statement, {"customer_id": customer_id})).scalar()
    return hashed


async def set_password(tx: Transaction, customer_id: UUID, password_hash: str | None) -> None:
    """Whatever it was before; None: nobody gets in by a password. The account is enabled."""
    statement = text(
        "UPDATE customers_local SET password_hash = CAST(:password_hash AS text),"
        " disabled_at = NULL, updated_at = now() WHERE customer_id = CAST(:customer_id AS uuid)"
    )
    await tx.execute(statement, {"customer_id": customer_id, "password_hash": password_hash})


async def disable(tx: Transaction, customer_id: UUID) -> None:
    """Nobody gets in any more; what the account did stays."""
    statement = text(
        "UPDATE customers_local SET password_hash = NULL, disabled_at = now(), updated_at = now()"
        " WHERE customer_id = CAST(:customer_id AS uuid)"
    )
    await tx.execute(statement, {"customer_id": customer_id})


def _account(row: Row) -> StaffAccount:
    return StaffAccount(
        customer_id=row.customer_id,
        email=row.email,
        name=row.name,
        role=cast("AccountRole", row.role),
        created_at=row.created_at,
        is_disabled=row.disabled_at is not None,
        has_password=row.has_password,
    )
