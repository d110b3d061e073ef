"""Statements over sign-in links; the table has hashes of their codes only."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, Text, bindparam, delete, func, select
from sqlalchemy import insert as insert_into

from cinesync.auth.fields import Email
from cinesync.auth.tables import customers_local, sign_in_links
from cinesync.chassis.database import Transaction, binds, compiled

INSERT = compiled(
    insert_into(sign_in_links).values(
        **binds("code_hash", "customer_id"),
        expires_at=func.now() + bindparam("lifetime", type_=Interval),
    )
)


async def insert(tx: Transaction, code_hash: bytes, customer_id: UUID, lifetime: timedelta) -> None:
    """A new link."""
    values = {"code_hash": code_hash, "customer_id": customer_id, "lifetime": lifetime}
    await tx.execute(INSERT, values)


_IS_USABLE = (sign_in_links.c.code_hash == bindparam("code_hash")) & (
    sign_in_links.c.expires_at > func.now()
)
FIND = compiled(select(sign_in_links.c.customer_id).where(_IS_USABLE))


async def find(tx: Transaction, code_hash: bytes) -> UUID | None:
    """The owner of a link that can still be used."""
    owner: UUID | None = (await tx.execute(FIND, {"code_hash": code_hash})).scalar()
    return owner


USE = compiled(delete(sign_in_links).where(_IS_USABLE).returning(sign_in_links.c.customer_id))


async def use(tx: Transaction, code_hash: bytes) -> UUID | None:
    """Use up a link, and return its owner. None: it was used before, or is too old."""
    owner: UUID | None = (await tx.execute(USE, {"code_hash": code_hash})).scalar()
    return owner


DELETE_OF = compiled(
    delete(sign_in_links).where(sign_in_links.c.customer_id == bindparam("customer_id"))
)


async def delete_of(tx: Transaction, customer_id: UUID) -> None:
    """All links of a customer."""
    await tx.execute(DELETE_OF, {"customer_id": customer_id})


DELETE_EXPIRED = compiled(delete(sign_in_links).where(sign_in_links.c.expires_at <= func.now()))


async def delete_expired(tx: Transaction) -> None:
    """All that are too old. They are few: the limits bound them per account and hour."""
    await tx.execute(DELETE_EXPIRED)


FIND_GUEST = compiled(
    select(customers_local.c.customer_id)
    .where(
        customers_local.c.email_norm.in_(
            [bindparam("spelling", type_=Text), bindparam("email_norm", type_=Text)]
        ),
        customers_local.c.role == "guest",
        customers_local.c.erased_at.is_(None),
        customers_local.c.disabled_at.is_(None),
    )
    .order_by(customers_local.c.created_at.desc(), customers_local.c.customer_id.desc())
    .limit(1)
)


async def find_guest(tx: Transaction, email: Email) -> UUID | None:
    """The latest guest with this e-mail."""
    values = {"email_norm": email.norm, "spelling": email.spelling}
    guest: UUID | None = (await tx.execute(FIND_GUEST, values)).scalar()
    return guest
