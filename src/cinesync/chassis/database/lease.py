"""One owner at a time for work that must not run twice side by side (sql-rules: no SKIP LOCKED)."""

from datetime import timedelta

from sqlalchemy import Interval, bindparam, delete, func
from sqlalchemy.dialects.postgresql import insert

from cinesync.chassis.database.database import Database
from cinesync.chassis.database.statements import compiled
from cinesync.chassis.database.tables import leases
from cinesync.chassis.database.transaction import Transaction

LEASE_SECONDS = 5

_lease = insert(leases).values(
    name=bindparam("name"),
    owner=bindparam("owner"),
    expires_at=func.now() + bindparam("duration", type_=Interval),
)
TAKE = compiled(
    _lease.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={"owner": _lease.excluded.owner, "expires_at": _lease.excluded.expires_at},
        where=(leases.c.owner == _lease.excluded.owner) | (leases.c.expires_at <= func.now()),
    ).returning(leases.c.owner)
)
GIVE_BACK = compiled(
    delete(leases).where(leases.c.name == bindparam("name"), leases.c.owner == bindparam("owner"))
)


async def take(tx: Transaction, name: str, owner: str, lease_seconds: int = LEASE_SECONDS) -> bool:
    """Take or keep the lease `name`, by the database's clock. False: someone else has it.

    A process that comes back under the same `owner` after a crash has its lease at once.
    """
    duration = timedelta(seconds=lease_seconds)
    rows = await tx.execute(TAKE, {"name": name, "owner": owner, "duration": duration})
    return rows.first() is not None


async def give_back(tx: Transaction, name: str, owner: str) -> None:
    """Let the next one in at once."""
    await tx.execute(GIVE_BACK, {"name": name, "owner": owner})


async def held(db: Database, name: str, owner: str, lease_seconds: int = LEASE_SECONDS) -> bool:
    """`take` in a transaction of its own."""
    return await db.run(take, name, owner, lease_seconds)
