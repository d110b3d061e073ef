"""Which database this is: an id made once and stored in it, the same wherever it moves.

Two shops that call themselves the same on one broker are told apart by it.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, exists, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from cinesync.chassis.database.statements import compiled
from cinesync.chassis.database.tables import inbox, leases, outbox
from cinesync.chassis.database.transaction import Transaction

ID_ROW = "database.id"
OLDER_ROW = "database.older_than_shop_ids"

FIND = compiled(select(leases.c.owner).where(leases.c.name == bindparam("name")))
INSERT = compiled(
    insert(leases)
    .values(
        name=bindparam("name"),
        owner=bindparam("owner"),
        expires_at=literal_column("'infinity'::timestamptz"),
    )
    .on_conflict_do_nothing(index_elements=[leases.c.name])
)
HAS_EVENTS = compiled(select(exists(select(inbox.c.event_id)) | exists(select(outbox.c.event_id))))


@dataclass(frozen=True, slots=True)
class DatabaseId:
    """`is_older_than_shop_ids`: it may have events in queues from before those bore a shop's id."""

    id: UUID
    is_older_than_shop_ids: bool


async def identify(tx: Transaction, new_id: UUID) -> DatabaseId:
    """The id; `new_id` if it had none. It is a lease that never ends: every database, of every
    version, has that table.
    """
    if not await _find(tx, ID_ROW):
        is_older = (await tx.execute(HAS_EVENTS)).scalar_one()
        await tx.execute(INSERT, {"name": ID_ROW, "owner": str(new_id)})
        if is_older:
            await tx.execute(INSERT, {"name": OLDER_ROW, "owner": "yes"})
    found = await _find(tx, ID_ROW)
    assert found is not None, "it is there, or was just inserted"
    return DatabaseId(UUID(found), await _find(tx, OLDER_ROW) is not None)


async def _find(tx: Transaction, name: str) -> str | None:
    found: str | None = (await tx.execute(FIND, {"name": name})).scalar_one_or_none()
    return found
