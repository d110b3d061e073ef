"""Which database this is: an id made once, kept in it, and the same wherever it moves.

Two shops that call themselves the same on one broker are told apart by it.
"""

from dataclasses import dataclass
from uuid import UUID

from cinesync.chassis.database.statements import text
from cinesync.chassis.database.transaction import Transaction

ID_ROW = "database.id"
OLDER_ROW = "database.older_than_shop_ids"


@dataclass(frozen=True, slots=True)
class DatabaseId:
    """`is_older_than_shop_ids`: it may have events in queues from before those bore a shop's id."""

    id: UUID
    is_older_than_shop_ids: bool


async def identify(tx: Transaction, new_id: UUID) -> DatabaseId:
    """The id; `new_id` if it had none. A row of the leases that never ends: every database, of
    every version, has that table.
    """
    has_heard = "SELECT 1 FROM inbox LIMIT 1"
    has_told = "SELECT 1 FROM outbox LIMIT 1"
    if not await _find(tx, ID_ROW):
        is_older = [*await tx.execute(text(has_heard)), *await tx.execute(text(has_told))]
        await _keep(tx, ID_ROW, str(new_id))
        if is_older:
            await _keep(tx, OLDER_ROW, "yes")
    kept = await _find(tx, ID_ROW)
    assert kept is not None, "it is there, or was just made"
    return DatabaseId(UUID(kept), await _find(tx, OLDER_ROW) is not None)


async def _find(tx: Transaction, name: str) -> str | None:
    statement = text("SELECT owner FROM leases WHERE name = CAST(:name AS text)")
    found: str | None = (await tx.execute(statement, {"name": name})).scalar_one_or_none()
    return found


async def _keep(tx: Transaction, name: str, value: str) -> None:
    statement = text(
        "INSERT INTO leases (name, owner, expires_at) VALUES"
        " (CAST(:name AS text), CAST(:value AS text), CAST('infinity' AS timestamptz))"
        " ON CONFLICT (name) DO NOTHING"
    )
    await tx.execute(statement, {"name": name, "value": value})
