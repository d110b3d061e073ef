"""Deletes expired rows: reads each table in the order of its primary key, in batches.

There is no index by time for it: such an index would make all inserts of all processes write to
its last page.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cinesync.auth import store
from cinesync.auth.limits import action_store, failure_store
from cinesync.auth.links import store as link_store
from cinesync.auth.retention.guest_retention import GuestRetention
from cinesync.auth.revocations import store as revocation_store
from cinesync.chassis import background
from cinesync.chassis.database import Database

BATCH_ROWS = 1_000
FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPeriods:
    """How long rows are needed: failures, throttled actions, revocations."""

    failures: timedelta
    actions: timedelta
    tokens: timedelta


class Cleanup:
    """Any number of processes may run it at the same time."""

    def __init__(
        self,
        db: Database,
        periods: RetentionPeriods,
        pause_seconds: float,
        guests: GuestRetention | None = None,
    ) -> None:
        self._db = db
        self._periods = periods
        self._pause_seconds = pause_seconds
        self._guests = guests

    async def run(self) -> None:
        """Delete again and again, until cancelled."""
        while True:
            await self.delete_sessions()
            await self.delete_failures()
            await self._db.run_one(revocation_store.delete_old_revocations, self._periods.tokens)
            await self.delete_actions()
            await self._db.run(link_store.delete_expired)
            if self._guests is not None:
                await self._guests.delete_guests()
            background.succeeded()
            await asyncio.sleep(self._pause_seconds)

    async def delete_sessions(self) -> None:
        """Delete expired sessions, in one pass over the table."""
        reached: UUID | None = FIRST_ID
        while reached is not None:
            reached, expired = await self._db.read(store.find_expired_sessions, reached, BATCH_ROWS)
            if expired:
                await self._db.run(store.delete_sessions, expired)

    async def delete_failures(self) -> None:
        """Delete old failures, in one pass over the table."""
        reached: UUID | None = FIRST_ID
        while reached is not None:
            reached, old = await self._db.read(
                failure_store.find_old_failures, reached, BATCH_ROWS, self._periods.failures
            )
            if old:
                await self._db.run(failure_store.delete_failures, old)

    async def delete_actions(self) -> None:
        """Delete old throttled actions, in one pass over the table."""
        reached: UUID | None = FIRST_ID
        while reached is not None:
            reached, old = await self._db.read(
                action_store.find_old, reached, BATCH_ROWS, self._periods.actions
            )
            if old:
                await self._db.run(action_store.delete, old)
