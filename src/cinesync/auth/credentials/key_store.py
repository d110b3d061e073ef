"""Statements over the keys that sign access tokens."""

from dataclasses import dataclass, field

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from cinesync.auth.model import KeyWindow
from cinesync.auth.tables import signing_keys
from cinesync.chassis.database import Transaction, compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow(KeyWindow):
    """A signing key as stored, its private half encrypted."""

    public_jwk: str
    sealed_private: bytes = field(repr=False)


LIST_KEYS = compiled(
    select(*signing_keys.c)
    .where(signing_keys.c.verifies_until > func.now())
    .order_by(signing_keys.c.number)
)


async def list_keys(tx: Transaction) -> list[KeyRow]:
    """Keys whose tokens can still be valid, oldest first."""
    return [
        KeyRow(
            number=row.number,
            public_jwk=row.public_jwk,
            sealed_private=bytes(row.sealed_private),
            signs_from=row.signs_from,
            signs_until=row.signs_until,
            verifies_until=row.verifies_until,
        )
        for row in await tx.execute(LIST_KEYS)
    ]


INSERT_KEY = compiled(
    insert(signing_keys).on_conflict_do_nothing(index_elements=[signing_keys.c.number])
)


async def insert_key(tx: Transaction, key: KeyRow) -> None:
    """Insert a key, unless another process inserted that number first."""
    values = {
        "number": key.number,
        "public_jwk": key.public_jwk,
        "sealed_private": key.sealed_private,
        "signs_from": key.signs_from,
        "signs_until": key.signs_until,
        "verifies_until": key.verifies_until,
    }
    await tx.execute(INSERT_KEY, values)


DELETE_KEYS = compiled(delete(signing_keys).where(signing_keys.c.verifies_until <= func.now()))


async def delete_keys(tx: Transaction) -> None:
    """Delete keys whose tokens have all expired."""
    await tx.execute(DELETE_KEYS)
