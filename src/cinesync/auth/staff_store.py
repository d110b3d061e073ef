"""Statements over the accounts of staff, disabled ones too."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import Text, bindparam, func, select, update

from cinesync.auth.fields import Email
from cinesync.auth.model import AccountRole
from cinesync.auth.tables import customer_emails, customers_local
from cinesync.chassis.database import Row, Transaction, compiled


@dataclass(frozen=True, slots=True)
class StaffAccount:
    """An account as operators see it."""

    customer_id: UUID
    email: str
    name: str
    role: AccountRole
    created_at: datetime
    is_disabled: bool
    has_password: bool


_ACCOUNT = (
    customers_local.c.customer_id,
    customers_local.c.email,
    customers_local.c.name,
    customers_local.c.role,
    customers_local.c.created_at,
    customers_local.c.disabled_at,
    customers_local.c.password_hash.is_not(None).label("has_password"),
)
FIND = compiled(
    select(*_ACCOUNT)
    .where(
        customer_emails.c.region == customers_local.c.region,
        customer_emails.c.customer_id == customers_local.c.customer_id,
        customer_emails.c.email_norm.in_(
            [bindparam("spelling", type_=Text), bindparam("email_norm", type_=Text)]
        ),
    )
    .order_by(customer_emails.c.email_norm == bindparam("email_norm"))
    .limit(1)
)


async def find(tx: Transaction, email: Email) -> StaffAccount | None:
    """The account with this e-mail, of any role, disabled or not."""
    values = {"email_norm": email.norm, "spelling": email.spelling}
    row = (await tx.execute(FIND, values)).one_or_none()
    return None if row is None else _account(row)


LIST_STAFF = compiled(
    select(*_ACCOUNT)
    .where(customers_local.c.role.in_(["staff", "manager", "auditor"]))
    .order_by(customers_local.c.role, customers_local.c.email_norm)
)


async def list_staff(tx: Transaction) -> list[StaffAccount]:
    """All staff accounts, by role and e-mail."""
    return [_account(row) for row in await tx.execute(LIST_STAFF)]


FIND_PASSWORD_HASH = compiled(
    select(customers_local.c.password_hash).where(
        customers_local.c.customer_id == bindparam("customer_id")
    )
)


async def find_password_hash(tx: Transaction, customer_id: UUID) -> str | None:
    """The hash of an account, disabled or not; None: it has none."""
    hashed: str | None = (
        await tx.execute(FIND_PASSWORD_HASH, {"customer_id": customer_id})
    ).scalar()
    return hashed


SET_PASSWORD = compiled(
    update(customers_local)
    .values(password_hash=bindparam("password_hash"), disabled_at=None, updated_at=func.now())
    .where(customers_local.c.customer_id == bindparam("customer_id"))
)


async def set_password(tx: Transaction, customer_id: UUID, password_hash: str | None) -> None:
    """Set the hash and enable the account; with None, no password is valid."""
    await tx.execute(SET_PASSWORD, {"customer_id": customer_id, "password_hash": password_hash})


DISABLE = compiled(
    update(customers_local)
    .values(password_hash=None, disabled_at=func.now(), updated_at=func.now())
    .where(customers_local.c.customer_id == bindparam("customer_id"))
)


async def disable(tx: Transaction, customer_id: UUID) -> None:
    """Disable the account and remove its password; its history stays."""
    await tx.execute(DISABLE, {"customer_id": customer_id})


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
