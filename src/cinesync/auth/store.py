"""Statements over the auth tables; one function, one question."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from cinesync.auth.model import (
    AccountRole,
    Attempt,
    AuthSession,
    Credentials,
    Customer,
    Email,
    KeyWindow,
    NewCustomer,
)
from cinesync.chassis.database import Row, Transaction, text


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow(KeyWindow):
    """A signing key at rest."""

    public_jwk: str
    sealed_private: bytes = field(repr=False)


# --- Accounts ---------------------------------------------------------------------------------


async def claim_email(tx: Transaction, customer: NewCustomer) -> bool:
    """Whether the e-mail was free; the primary key decides between two at once."""
    statement = text(
        "INSERT INTO customer_emails (email_norm, region, customer_id)"
        " VALUES (CAST(:email_norm AS text), CAST(:region AS text), CAST(:customer_id AS uuid))"
        " ON CONFLICT (email_norm) DO NOTHING RETURNING customer_id"
    )
    values = {
        "email_norm": customer.email.norm,
        "region": customer.region,
        "customer_id": customer.customer_id,
    }
    return (await tx.execute(statement, values)).first() is not None


async def insert_customers(
    tx: Transaction, customers: Sequence[NewCustomer]
) -> dict[UUID, Customer]:
    """New rows; what they say now."""
    statement = text(
        "INSERT INTO customers_local"
        " (region, customer_id, email, email_norm, name, phone, role, password_hash)"
        " SELECT t.region, t.customer_id, t.email, t.email_norm, t.name, t.phone, t.role,"
        " t.password_hash FROM unnest(CAST(:regions AS text[]), CAST(:customer_ids AS uuid[]),"
        " CAST(:emails AS text[]), CAST(:email_norms AS text[]), CAST(:names AS text[]),"
        " CAST(:phones AS text[]), CAST(:roles AS text[]), CAST(:password_hashes AS text[]))"
        " AS t(region, customer_id, email, email_norm, name, phone, role, password_hash)"
        " RETURNING region, customer_id, email, name, phone, role, created_at"
    )
    ordered = sorted(customers, key=lambda customer: (customer.region, customer.customer_id))
    values = {
        "regions": [customer.region for customer in ordered],
        "customer_ids": [customer.customer_id for customer in ordered],
        "emails": [customer.email.address for customer in ordered],
        "email_norms": [customer.email.norm for customer in ordered],
        "names": [customer.name for customer in ordered],
        "phones": [customer.phone for customer in ordered],
        "roles": [customer.role for customer in ordered],
        "password_hashes": [customer.password_hash for customer in ordered],
    }
    return {row.customer_id: _customer(row) for row in await tx.execute(statement, values)}


async def find_credentials(tx: Transaction, email: Email) -> Credentials | None:
    """The account with this e-mail, unless it is disabled; guests have none.

    Two accounts from before all spellings were one are told apart by the spelling.
    """
    statement = text(
        "SELECT c.region, c.customer_id, c.email, c.name, c.phone, c.role, c.created_at,"
        " c.password_hash FROM customer_emails AS e"
        " JOIN customers_local AS c ON c.region = e.region AND c.customer_id = e.customer_id"
        " WHERE e.email_norm IN (CAST(:spelling AS text), CAST(:email_norm AS text))"
        " AND c.disabled_at IS NULL"
        " ORDER BY e.email_norm = CAST(:email_norm AS text) ASC LIMIT 1"
    )
    row = (await tx.execute(statement, _names(email))).one_or_none()
    return None if row is None else Credentials(_customer(row), row.password_hash)


async def find_credentials_by_id(tx: Transaction, customer_id: UUID) -> Credentials | None:
    """The account or guest with this id, in whichever region, unless it is disabled or erased."""
    statement = text(
        "SELECT region, customer_id, email, name, phone, role, created_at, password_hash"
        " FROM customers_local WHERE customer_id = CAST(:customer_id AS uuid)"
        " AND disabled_at IS NULL AND erased_at IS NULL"
    )
    row = (await tx.execute(statement, {"customer_id": customer_id})).one_or_none()
    return None if row is None else Credentials(_customer(row), row.password_hash)


async def update_customer(
    tx: Transaction, customer_id: UUID, name: str, phone: str | None
) -> Customer | None:
    """What the row says now, or None when there is none."""
    statement = text(
        "UPDATE customers_local SET name = CAST(:name AS text),"
        " phone = CAST(:phone AS text), updated_at = now()"
        " WHERE customer_id = CAST(:customer_id AS uuid)"
        " RETURNING region, customer_id, email, name, phone, role, created_at"
    )
    values = {"customer_id": customer_id, "name": name, "phone": phone}
    row = (await tx.execute(statement, values)).one_or_none()
    return None if row is None else _customer(row)


async def replace_password_hash(
    tx: Transaction, customer_id: UUID, old_hash: str, new_hash: str
) -> bool:
    """False: somebody else replaced it first."""
    statement = text(
        "UPDATE customers_local SET password_hash = CAST(:new_hash AS text), updated_at = now()"
        " WHERE customer_id = CAST(:customer_id AS uuid)"
        " AND password_hash = CAST(:old_hash AS text)"
    )
    values = {"customer_id": customer_id, "old_hash": old_hash, "new_hash": new_hash}
    return (await tx.execute(statement, values)).rowcount == 1


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


async def insert_session(
    tx: Transaction, session_id: UUID, customer_id: UUID, address: str, idle_max: timedelta
) -> None:
    """A new family, at generation 1."""
    statement = text(
        "INSERT INTO sessions (session_id, customer_id, address, generation, expires_at)"
        " VALUES (CAST(:session_id AS uuid), CAST(:customer_id AS uuid), CAST(:address AS text),"
        " 1, now() + CAST(:idle_max AS interval))"
    )
    values = {
        "session_id": session_id,
        "customer_id": customer_id,
        "address": address,
        "idle_max": idle_max,
    }
    await tx.execute(statement, values)


async def find_session(tx: Transaction, session_id: UUID, grace: timedelta) -> AuthSession | None:
    """The family, judged by the database's clock."""
    statement = text(
        "SELECT session_id, customer_id, generation,"
        " revoked_at IS NULL AND expires_at > now() AS is_alive,"
        " rotated_at > now() - CAST(:grace AS interval) AS just_rotated"
        " FROM sessions WHERE session_id = CAST(:session_id AS uuid)"
    )
    values = {"session_id": session_id, "grace": grace}
    row = (await tx.execute(statement, values)).one_or_none()
    if row is None:
        return None
    return AuthSession(
        session_id=row.session_id,
        customer_id=row.customer_id,
        generation=row.generation,
        is_alive=row.is_alive,
        just_rotated=row.just_rotated,
    )


async def rotate_session(
    tx: Transaction, session: AuthSession, idle_max: timedelta, age_max: timedelta
) -> bool:
    """Move a living family on by one; False when another request did, which the caller retries."""
    statement = text(
        "UPDATE sessions SET generation = generation + 1, rotated_at = now(),"
        " expires_at = LEAST(now() + CAST(:idle_max AS interval),"
        " created_at + CAST(:age_max AS interval))"
        " WHERE session_id = CAST(:session_id AS uuid)"
        " AND generation = CAST(:generation AS bigint) AND revoked_at IS NULL"
    )
    values = {
        "session_id": session.session_id,
        "generation": session.generation,
        "idle_max": idle_max,
        "age_max": age_max,
    }
    return (await tx.execute(statement, values)).rowcount == 1


async def has_signed_in_from(tx: Transaction, email: Email, address: str) -> bool:
    """Whether this account's owner was here lately; signing out does not change that."""
    statement = text(
        "SELECT s.session_id FROM customer_emails AS e"
        " JOIN sessions AS s ON s.customer_id = e.customer_id"
        " WHERE e.email_norm IN (CAST(:spelling AS text), CAST(:email_norm AS text))"
        " AND s.address = CAST(:address AS text) AND s.expires_at > now() LIMIT 1"
    )
    values = {**_names(email), "address": address}
    return (await tx.execute(statement, values)).first() is not None


async def find_expired_sessions(
    tx: Transaction, after: UUID, limit: int
) -> tuple[UUID | None, list[UUID]]:
    """A stretch of the table in key order: where it ended (None: at the end), and the expired."""
    statement = text(
        "SELECT session_id, expires_at <= now() AS is_over FROM sessions"
        " WHERE session_id > CAST(:after AS uuid)"
        " ORDER BY session_id ASC LIMIT CAST(:limit AS bigint)"
    )
    return _stretch((await tx.execute(statement, {"after": after, "limit": limit})).all(), limit)


async def delete_sessions(tx: Transaction, session_ids: Sequence[UUID]) -> None:
    """Those that are still expired; one may have been rotated meanwhile."""
    statement = text(
        "DELETE FROM sessions WHERE session_id = ANY(CAST(:session_ids AS uuid[]))"
        " AND expires_at <= now()"
    )
    await tx.execute(statement, {"session_ids": list(session_ids)})


# --- Failures ---------------------------------------------------------------------------------


async def insert_failure(tx: Transaction, failure_id: UUID, attempt: Attempt) -> None:
    """One more."""
    statement = text(
        "INSERT INTO sign_in_failures (failure_id, account_key, address) VALUES"
        " (CAST(:failure_id AS uuid), CAST(:account_key AS text), CAST(:address AS text))"
    )
    values = {
        "failure_id": failure_id,
        "account_key": attempt.account_key,
        "address": attempt.source,
    }
    await tx.execute(statement, values)


async def account_wait(
    tx: Transaction, attempt: Attempt, failures_max: int, window: timedelta, *, only_here: bool
) -> timedelta | None:
    """How long until fewer than `failures_max` failures lie in the window; None: no wait.

    `only_here` counts those from the attempt's own address or device alone.
    """
    statement = text(
        "SELECT failed_at + CAST(:window AS interval) - now() AS wait FROM sign_in_failures"
        " WHERE account_key = CAST(:account_key AS text)"
        " AND (CAST(:here AS text) IS NULL OR address = CAST(:here AS text))"
        " AND failed_at > now() - CAST(:window AS interval)"
        " ORDER BY failed_at DESC LIMIT 1 OFFSET CAST(:others AS bigint)"
    )
    values = {
        "account_key": attempt.account_key,
        "here": attempt.source if only_here else None,
        "others": failures_max - 1,
        "window": window,
    }
    return (await tx.execute(statement, values)).scalar_one_or_none()


async def address_wait(
    tx: Transaction, address: str, failures_max: int, window: timedelta
) -> timedelta | None:
    """The same for an address, whatever the account."""
    statement = text(
        "SELECT failed_at + CAST(:window AS interval) - now() AS wait FROM sign_in_failures"
        " WHERE address = CAST(:address AS text)"
        " AND failed_at > now() - CAST(:window AS interval)"
        " ORDER BY failed_at DESC LIMIT 1 OFFSET CAST(:others AS bigint)"
    )
    values = {"address": address, "others": failures_max - 1, "window": window}
    return (await tx.execute(statement, values)).scalar_one_or_none()


async def forgive(tx: Transaction, attempt: Attempt) -> None:
    """Forget the failures of this account from this address or device: its owner mistyped."""
    statement = text(
        "DELETE FROM sign_in_failures WHERE account_key = CAST(:account_key AS text)"
        " AND address = CAST(:address AS text)"
    )
    await tx.execute(statement, {"account_key": attempt.account_key, "address": attempt.source})


async def find_old_failures(
    tx: Transaction, after: UUID, limit: int, window: timedelta
) -> tuple[UUID | None, list[UUID]]:
    """A stretch of the table in key order: where it ended (None: at the end), and the old ones."""
    statement = text(
        "SELECT failure_id, failed_at <= now() - CAST(:window AS interval) AS is_over"
        " FROM sign_in_failures WHERE failure_id > CAST(:after AS uuid)"
        " ORDER BY failure_id ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"after": after, "limit": limit, "window": window}
    return _stretch((await tx.execute(statement, values)).all(), limit)


async def delete_failures(tx: Transaction, failure_ids: Sequence[UUID]) -> None:
    """By id: a failure never becomes young again."""
    statement = text(
        "DELETE FROM sign_in_failures WHERE failure_id = ANY(CAST(:failure_ids AS uuid[]))"
    )
    await tx.execute(statement, {"failure_ids": list(failure_ids)})


def _stretch(rows: Sequence[Row], limit: int) -> tuple[UUID | None, list[UUID]]:
    reached = rows[-1][0] if len(rows) == limit else None
    return reached, [row[0] for row in rows if row.is_over]


# --- Signing keys -----------------------------------------------------------------------------


async def database_now(tx: Transaction) -> datetime:
    """The transaction's time."""
    time: datetime = (await tx.execute(text("SELECT now()"))).scalar_one()
    return time


async def list_keys(tx: Transaction) -> list[KeyRow]:
    """Keys whose tokens can still be valid, oldest first."""
    statement = text(
        "SELECT number, public_jwk, sealed_private, signs_from, signs_until, verifies_until"
        " FROM signing_keys WHERE verifies_until > now() ORDER BY number ASC"
    )
    return [
        KeyRow(
            number=row.number,
            public_jwk=row.public_jwk,
            sealed_private=bytes(row.sealed_private),
            signs_from=row.signs_from,
            signs_until=row.signs_until,
            verifies_until=row.verifies_until,
        )
        for row in await tx.execute(statement)
    ]


async def insert_key(tx: Transaction, key: KeyRow) -> None:
    """Unless another process made the key of that number first."""
    statement = text(
        "INSERT INTO signing_keys"
        " (number, public_jwk, sealed_private, signs_from, signs_until, verifies_until)"
        " VALUES (CAST(:number AS bigint), CAST(:public_jwk AS text),"
        " CAST(:sealed_private AS bytea), CAST(:signs_from AS timestamptz),"
        " CAST(:signs_until AS timestamptz), CAST(:verifies_until AS timestamptz))"
        " ON CONFLICT (number) DO NOTHING"
    )
    values = {
        "number": key.number,
        "public_jwk": key.public_jwk,
        "sealed_private": key.sealed_private,
        "signs_from": key.signs_from,
        "signs_until": key.signs_until,
        "verifies_until": key.verifies_until,
    }
    await tx.execute(statement, values)


async def delete_keys(tx: Transaction) -> None:
    """Keys of which no token can be valid any more."""
    await tx.execute(text("DELETE FROM signing_keys WHERE verifies_until <= now()"))
