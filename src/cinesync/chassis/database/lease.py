"""One owner at a time for work that must not run twice side by side (sql-rules: no SKIP LOCKED)."""

from cinesync.chassis.database.database import Database, Transaction, text

LEASE_SECONDS = 5


async def take(tx: Transaction, name: str, owner: str, lease_seconds: int = LEASE_SECONDS) -> bool:
    """Take or keep the lease `name`, by the database's clock. False: someone else has it.

    A process that comes back under the same `owner` after a crash has its lease at once.
    """
    statement = text(
        "INSERT INTO leases (name, owner, expires_at)"
        " VALUES (CAST(:name AS text), CAST(:owner AS text),"
        " now() + CAST(:seconds AS bigint) * interval '1 second')"
        " ON CONFLICT (name) DO UPDATE"
        " SET owner = excluded.owner, expires_at = excluded.expires_at"
        " WHERE leases.owner = excluded.owner OR leases.expires_at <= now()"
        " RETURNING leases.owner"
    )
    row = await tx.execute(statement, {"name": name, "owner": owner, "seconds": lease_seconds})
    return row.first() is not None


async def give_back(tx: Transaction, name: str, owner: str) -> None:
    """Let the next one in at once."""
    statement = text(
        "DELETE FROM leases WHERE name = CAST(:name AS text) AND owner = CAST(:owner AS text)"
    )
    await tx.execute(statement, {"name": name, "owner": owner})


async def held(db: Database, name: str, owner: str, lease_seconds: int = LEASE_SECONDS) -> bool:
    """`take` in a transaction of its own."""
    return await db.run(take, name, owner, lease_seconds)
