"""Statements over the links that let a customer in once; only hashes of their codes are kept."""

from datetime import timedelta
from uuid import UUID

from cinesync.auth.model import Email
from cinesync.chassis.database import Transaction, text


async def insert(tx: Transaction, code_hash: bytes, customer_id: UUID, lifetime: timedelta) -> None:
    """A link that can be used from now on."""
    statement = text(
        "INSERT INTO sign_in_links (code_hash, customer_id, expires_at) VALUES"
        " (CAST(:code_hash AS bytea), CAST(:customer_id AS uuid),"
        " now() + CAST(:lifetime AS interval))"
    )
    values = {"code_hash": code_hash, "customer_id": customer_id, "lifetime": lifetime}
    await tx.execute(statement, values)


async def find(tx: Transaction, code_hash: bytes) -> UUID | None:
    """Whose it is, while it can be used."""
    statement = text(
        "SELECT customer_id FROM sign_in_links"
        " WHERE code_hash = CAST(:code_hash AS bytea) AND expires_at > now()"
    )
    owner: UUID | None = (await tx.execute(statement, {"code_hash": code_hash})).scalar()
    return owner


async def use(tx: Transaction, code_hash: bytes) -> UUID | None:
    """Whose it was; it cannot be used again. None: it was used before, or is too old."""
    statement = text(
        "DELETE FROM sign_in_links WHERE code_hash = CAST(:code_hash AS bytea)"
        " AND expires_at > now() RETURNING customer_id"
    )
    owner: UUID | None = (await tx.execute(statement, {"code_hash": code_hash})).scalar()
    return owner


async def delete_of(tx: Transaction, customer_id: UUID) -> None:
    """All links of a customer."""
    statement = text("DELETE FROM sign_in_links WHERE customer_id = CAST(:customer_id AS uuid)")
    await tx.execute(statement, {"customer_id": customer_id})


async def delete_expired(tx: Transaction) -> None:
    """They are few: a handful for each account and hour."""
    await tx.execute(text("DELETE FROM sign_in_links WHERE expires_at <= now()"))


async def find_guest(tx: Transaction, email: Email) -> UUID | None:
    """The latest guest with this e-mail."""
    statement = text(
        "SELECT customer_id FROM customers_local"
        " WHERE email_norm IN (CAST(:spelling AS text), CAST(:email_norm AS text))"
        " AND role = 'guest' AND erased_at IS NULL AND disabled_at IS NULL"
        " ORDER BY created_at DESC, customer_id DESC LIMIT 1"
    )
    values = {"email_norm": email.norm, "spelling": email.spelling}
    guest: UUID | None = (await tx.execute(statement, values)).scalar()
    return guest
