"""Statements over accounts and sessions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Interval,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from cinesync.auth.fields import Email
from cinesync.auth.model import AccountRole, AuthSession, Credentials, Customer, NewCustomer
from cinesync.auth.tables import (
    customer_emails,
    customers_local,
    sessions,
)
from cinesync.chassis.database import (
    Row,
    Transaction,
    any_of,
    batch,
    binds,
    compiled,
    insert_from,
)

# --- Accounts ---------------------------------------------------------------------------------


CLAIM_EMAIL = compiled(
    insert(customer_emails)
    .on_conflict_do_nothing(index_elements=[customer_emails.c.email_norm])
    .returning(customer_emails.c.customer_id)
)


async def claim_email(tx: Transaction, customer: NewCustomer) -> bool:
    """Whether the e-mail was free; the primary key decides between concurrent claims."""
    values = {
        "email_norm": customer.email.norm,
        "region": customer.region,
        "customer_id": customer.customer_id,
    }
    return (await tx.execute(CLAIM_EMAIL, values)).first() is not None


_CUSTOMER = (
    customers_local.c.region,
    customers_local.c.customer_id,
    customers_local.c.email,
    customers_local.c.name,
    customers_local.c.phone,
    customers_local.c.role,
    customers_local.c.created_at,
)
INSERT_CUSTOMERS = compiled(
    insert_from(
        customers_local,
        batch(
            "customers",
            customers_local.c.region,
            customers_local.c.customer_id,
            customers_local.c.email,
            customers_local.c.email_norm,
            customers_local.c.name,
            customers_local.c.phone,
            customers_local.c.role,
            customers_local.c.password_hash,
        ),
    ).returning(*_CUSTOMER)
)


async def insert_customers(
    tx: Transaction, customers: Sequence[NewCustomer]
) -> dict[UUID, Customer]:
    """Insert customers; the new rows, by id."""
    ordered = sorted(customers, key=lambda customer: (customer.region, customer.customer_id))
    rows = [
        (
            customer.region,
            customer.customer_id,
            customer.email.address,
            customer.email.norm,
            customer.name,
            customer.phone,
            customer.role,
            customer.password_hash,
        )
        for customer in ordered
    ]
    inserted = await tx.execute(INSERT_CUSTOMERS, {"customers": rows})
    return {row.customer_id: _customer(row) for row in inserted}


FIND_CREDENTIALS = compiled(
    select(*_CUSTOMER, customers_local.c.password_hash)
    .where(
        customer_emails.c.region == customers_local.c.region,
        customer_emails.c.customer_id == customers_local.c.customer_id,
        customer_emails.c.email_norm.in_(
            [bindparam("spelling", type_=Text), bindparam("email_norm", type_=Text)]
        ),
        customers_local.c.disabled_at.is_(None),
    )
    .order_by(customer_emails.c.email_norm == bindparam("email_norm"))
    .limit(1)
)


async def find_credentials(tx: Transaction, email: Email) -> Credentials | None:
    """The account with this e-mail, unless it is disabled; guests have none.

    Before migration 0003, one mailbox could have two accounts; the exact spelling comes first.
    """
    row = (await tx.execute(FIND_CREDENTIALS, _names(email))).one_or_none()
    return None if row is None else Credentials(_customer(row), row.password_hash)


FIND_CREDENTIALS_BY_ID = compiled(
    select(*_CUSTOMER, customers_local.c.password_hash).where(
        customers_local.c.customer_id == bindparam("customer_id"),
        customers_local.c.disabled_at.is_(None),
        customers_local.c.erased_at.is_(None),
    )
)


async def find_credentials_by_id(tx: Transaction, customer_id: UUID) -> Credentials | None:
    """The account or guest with this id, in any region, unless it is disabled or erased."""
    row = (await tx.execute(FIND_CREDENTIALS_BY_ID, {"customer_id": customer_id})).one_or_none()
    return None if row is None else Credentials(_customer(row), row.password_hash)


UPDATE_CUSTOMER = compiled(
    update(customers_local)
    .values(**binds("name", "phone"), updated_at=func.now())
    .where(customers_local.c.customer_id == bindparam("customer_id"))
    .returning(*_CUSTOMER)
)


async def update_customer(
    tx: Transaction, customer_id: UUID, name: str, phone: str | None
) -> Customer | None:
    """The new row; None: there is none."""
    values = {"customer_id": customer_id, "name": name, "phone": phone}
    row = (await tx.execute(UPDATE_CUSTOMER, values)).one_or_none()
    return None if row is None else _customer(row)


REPLACE_PASSWORD_HASH = compiled(
    update(customers_local)
    .values(password_hash=bindparam("new_hash"), updated_at=func.now())
    .where(
        customers_local.c.customer_id == bindparam("customer_id"),
        customers_local.c.password_hash == bindparam("old_hash"),
    )
)


async def replace_password_hash(
    tx: Transaction, customer_id: UUID, old_hash: str, new_hash: str
) -> bool:
    """False: the hash is not `old_hash` any more."""
    values = {"customer_id": customer_id, "old_hash": old_hash, "new_hash": new_hash}
    return (await tx.execute(REPLACE_PASSWORD_HASH, values)).rowcount == 1


def _names(email: Email) -> dict[str, str]:
    return {"email_norm": email.norm, "spelling": email.spelling}


def _customer(row: Row) -> Customer:
    return Customer(
        customer_id=row.customer_id,
        region=row.region,
        email=row.email,
        name=row.name,
        phone=row.phone,
        role=cast("AccountRole", row.role),
        created_at=row.created_at,
    )


# --- Sessions ---------------------------------------------------------------------------------


INSERT_SESSION = compiled(
    insert(sessions).values(
        **binds("session_id", "customer_id", "address"),
        generation=1,
        expires_at=func.now() + bindparam("idle_max", type_=Interval),
    )
)


async def insert_session(
    tx: Transaction, session_id: UUID, customer_id: UUID, address: str, idle_max: timedelta
) -> None:
    """A new session, at generation 1."""
    values = {
        "session_id": session_id,
        "customer_id": customer_id,
        "address": address,
        "idle_max": idle_max,
    }
    await tx.execute(INSERT_SESSION, values)


FIND_SESSION = compiled(
    select(
        sessions.c.session_id,
        sessions.c.customer_id,
        sessions.c.generation,
        (sessions.c.revoked_at.is_(None) & (sessions.c.expires_at > func.now())).label("is_alive"),
        (sessions.c.rotated_at > func.now() - bindparam("grace", type_=Interval)).label(
            "just_rotated"
        ),
    ).where(sessions.c.session_id == bindparam("session_id"))
)


async def find_session(tx: Transaction, session_id: UUID, grace: timedelta) -> AuthSession | None:
    """The session; the database's clock decides whether it is alive."""
    values = {"session_id": session_id, "grace": grace}
    row = (await tx.execute(FIND_SESSION, values)).one_or_none()
    if row is None:
        return None
    return AuthSession(
        session_id=row.session_id,
        customer_id=row.customer_id,
        generation=row.generation,
        is_alive=row.is_alive,
        just_rotated=row.just_rotated,
    )


ROTATE_SESSION = compiled(
    update(sessions)
    .values(
        generation=sessions.c.generation + 1,
        rotated_at=func.now(),
        expires_at=func.least(
            func.now() + bindparam("idle_max", type_=Interval),
            sessions.c.created_at + bindparam("age_max", type_=Interval),
        ),
    )
    .where(
        sessions.c.session_id == bindparam("session_id"),
        sessions.c.generation == bindparam("generation"),
        sessions.c.revoked_at.is_(None),
    )
)


async def rotate_session(
    tx: Transaction, session: AuthSession, idle_max: timedelta, age_max: timedelta
) -> bool:
    """Go on to the next generation; False: another request did so first."""
    values = {
        "session_id": session.session_id,
        "generation": session.generation,
        "idle_max": idle_max,
        "age_max": age_max,
    }
    return (await tx.execute(ROTATE_SESSION, values)).rowcount == 1


HAS_SIGNED_IN_FROM = compiled(
    select(sessions.c.session_id)
    .where(
        sessions.c.customer_id == customer_emails.c.customer_id,
        customer_emails.c.email_norm.in_(
            [bindparam("spelling", type_=Text), bindparam("email_norm", type_=Text)]
        ),
        sessions.c.address == bindparam("address"),
        sessions.c.expires_at > func.now(),
    )
    .limit(1)
)


async def has_signed_in_from(tx: Transaction, email: Email, address: str) -> bool:
    """Whether a session from this address has not expired; one that was signed out counts."""
    values = {**_names(email), "address": address}
    return (await tx.execute(HAS_SIGNED_IN_FROM, values)).first() is not None


FIND_EXPIRED_SESSIONS = compiled(
    select(sessions.c.session_id, (sessions.c.expires_at <= func.now()).label("is_over"))
    .where(sessions.c.session_id > bindparam("after"))
    .order_by(sessions.c.session_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def find_expired_sessions(
    tx: Transaction, after: UUID, limit: int
) -> tuple[UUID | None, list[UUID]]:
    """A batch of rows in key order: its last id (None: no more), and the expired ones."""
    return end_and_expired(
        await tx.execute(FIND_EXPIRED_SESSIONS, {"after": after, "limit": limit}), limit
    )


DELETE_SESSIONS = compiled(
    delete(sessions).where(
        any_of(sessions.c.session_id, "session_ids"), sessions.c.expires_at <= func.now()
    )
)


async def delete_sessions(tx: Transaction, session_ids: Sequence[UUID]) -> None:
    """Delete those that are still expired; one may have been rotated meanwhile."""
    await tx.execute(DELETE_SESSIONS, {"session_ids": list(session_ids)})


def end_and_expired(rows: Sequence[Row], limit: int) -> tuple[UUID | None, list[UUID]]:
    """The last id of a full batch (None: it is the last batch), and the ids that are over."""
    reached = rows[-1][0] if len(rows) == limit else None
    return reached, [row[0] for row in rows if row.is_over]
