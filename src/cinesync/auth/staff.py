"""Staff accounts and demo accounts: commands for operators, who need no sign-in."""

import asyncio
from collections.abc import Mapping
from functools import partial
from uuid import UUID

from cinesync.auth import audit_entries, service, staff_store
from cinesync.auth.credentials.password_rules import fold_password
from cinesync.auth.credentials.passwords import HashCost, argon2id
from cinesync.auth.fields import Email, Fields, fold_email, fold_name
from cinesync.auth.model import AccountRole, AuthAuditAction, EmailTaken, NewCustomer
from cinesync.auth.revocations import store as revocation_store
from cinesync.auth.staff_store import StaffAccount
from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import OPERATOR
from cinesync.chassis.database import Database, Transaction
from cinesync.chassis.problems import NotFound

DEFAULT_REGION = "local"
STAFF_ROLES: tuple[AccountRole, ...] = ("staff", "manager", "auditor")
# Demo accounts of early versions have this password, and everybody can read it here.
PUBLISHED_PASSWORD = "popcorn-and-a-movie"  # noqa: S105 published on purpose
DEMO_ROLES: Mapping[str, AccountRole] = {
    "demo@cinesync.example": "customer",
    "staff@cinesync.example": "staff",
    "manager@cinesync.example": "manager",
    "auditor@cinesync.example": "auditor",
}


class NoSuchStaff(NotFound):
    """No staff account has this e-mail; `cinesync staff list` shows all of them."""


async def add(
    db: Database, email: str, role: AccountRole, name: str, password: str, shop_name: str
) -> StaffAccount:
    """A new staff account. Raises InvalidFields, EmailTaken with the role of the account."""
    fields = Fields()
    folded = fields.check("email", fold_email, email)
    folded_name = fields.check("name", fold_name, name)
    folded_password = fields.check("password", fold_password, password, folded, shop_name)
    fields.raise_if_wrong()
    password_hash = await asyncio.to_thread(_hash, folded_password)
    await db.run(_add, _new_customer(folded, role, folded_name, password_hash))
    account = await db.run_one(staff_store.find, folded)
    assert account is not None, "_add has just committed it"
    return account


async def disable(db: Database, email: str) -> StaffAccount:
    """Remove the password and end all sessions. Raises NoSuchStaff."""
    account = await _find_staff(db, email)
    await db.run(_disable, account.customer_id)
    return account


async def reset(db: Database, email: str, password: str, shop_name: str) -> StaffAccount:
    """A new password, which ends all sessions and enables a disabled account.

    Raises InvalidFields, NoSuchStaff.
    """
    account = await _find_staff(db, email)
    fields = Fields()
    folded = fields.check("password", fold_password, password, fold_email(account.email), shop_name)
    fields.raise_if_wrong()
    password_hash = await asyncio.to_thread(_hash, folded)
    await db.run(_set_password, account.customer_id, password_hash)
    return account


async def list_all(db: Database) -> list[StaffAccount]:
    """All staff accounts, disabled ones too."""
    return await db.run_one(staff_store.list_staff)


async def seed_demo(db: Database, accounts: Mapping[str, str]) -> None:
    """Add an account of each role; `accounts` has passwords by e-mail.

    An existing account stays as it is, unless it has no password.
    """
    for address, password in accounts.items():
        email, role = fold_email(address), DEMO_ROLES[address]
        known = await db.run_one(staff_store.find, email)
        if known is None:
            name = f"{address.partition('@')[0].title()} Account"
            password_hash = await asyncio.to_thread(_hash, password)
            await db.run(service.ensure_account, _new_customer(email, role, name, password_hash))
        elif known.role == role and not known.has_password and not known.is_disabled:
            password_hash = await asyncio.to_thread(_hash, password)
            await db.run(_set_password, known.customer_id, password_hash)


async def disable_demo(db: Database) -> list[StaffAccount]:
    """Disable all demo accounts; the result is those that were enabled before."""
    found = [await db.run_one(staff_store.find, fold_email(email)) for email in DEMO_ROLES]
    disabled = [
        account
        for account in found
        if account and not account.is_disabled and account.role == DEMO_ROLES[account.email]
    ]
    for account in disabled:
        await db.run(_disable, account.customer_id)
    return disabled


async def retire_published_password(db: Database) -> list[str]:
    """Remove the published password from demo accounts that still have it; their e-mails."""
    scheme = argon2id(HashCost())
    retired = []
    for address in DEMO_ROLES:
        account = await db.run_one(staff_store.find, fold_email(address))
        if account is None or not account.has_password:
            continue
        stored = await db.run_one(staff_store.find_password_hash, account.customer_id)
        verify = partial(scheme.verify, PUBLISHED_PASSWORD, stored or "")
        if await asyncio.to_thread(verify):
            await db.run(_set_password, account.customer_id, None)
            retired.append(address)
    return retired


async def _find_staff(db: Database, email: str) -> StaffAccount:
    fields = Fields()
    folded = fields.check("email", fold_email, email)
    fields.raise_if_wrong()
    account = await db.run_one(staff_store.find, folded)
    if account is None or account.role not in STAFF_ROLES:
        raise NoSuchStaff
    return account


async def _add(tx: Transaction, customer: NewCustomer) -> None:
    known = await staff_store.find(tx, customer.email)
    if known is not None:
        state = ", which is disabled" if known.is_disabled else ""
        raise EmailTaken(f"{known.email} has an account with the role {known.role} already{state}.")
    await service.register(tx, customer, OPERATOR)


async def _disable(tx: Transaction, customer_id: UUID) -> None:
    await staff_store.disable(tx, customer_id)
    await revocation_store.revoke_sessions_of(tx, customer_id)
    entry = audit_entries.by_operator(AuthAuditAction.ACCOUNT_DISABLED, customer_id)
    await audit_log.append(tx, [entry])


async def _set_password(tx: Transaction, customer_id: UUID, password_hash: str | None) -> None:
    await staff_store.set_password(tx, customer_id, password_hash)
    await revocation_store.revoke_sessions_of(tx, customer_id)
    action = AuthAuditAction.PASSWORD_RESET if password_hash else AuthAuditAction.PASSWORD_RETIRED
    await audit_log.append(tx, [audit_entries.by_operator(action, customer_id)])


def _new_customer(email: Email, role: AccountRole, name: str, password_hash: str) -> NewCustomer:
    return NewCustomer(
        customer_id=clock.new_id(),
        region=DEFAULT_REGION,
        email=email,
        name=name,
        phone=None,
        role=role,
        password_hash=password_hash,
    )


def _hash(password: str) -> str:
    return argon2id(HashCost()).hash(password)
