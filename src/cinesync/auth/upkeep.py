"""Forgets what is over: a slow hand that goes through each table by its key, stretch by stretch.

An index that leads with a time would make every insert of every process meet on one page.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from cinesync.auth import revocation_store, store
from cinesync.chassis import background
from cinesync.chassis.db import Database

STRETCH_ROWS = 1_000
START = UUID(int=0)


class Upkeep:
    """Any number of processes may do this side by side."""

    def __init__(
        self,
        db: Database,
        failure_window: timedelta,
        token_lifetime: timedelta,
        pause_seconds: float,
    ) -> None:
        self._db = db
        self._token_lifetime = token_lifetime
        self._failure_window = failure_window
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.forget_sessions()
            await self.forget_failures()
            await self._db.run_one(revocation_store.delete_old_revocations, self._token_lifetime)
            background.succeeded()
            await asyncio.sleep(self._pause_seconds)

    async def forget_sessions(self) -> None:
        """Once through the table."""
        reached: UUID | None = START
        while reached is not None:
            reached, expired = await self._db.read(
                store.find_expired_sessions, reached, STRETCH_ROWS
            )
            if expired:
                await self._db.run(store.delete_sessions, expired)

    async def forget_failures(self) -> None:
        """Once through the table."""
        reached: UUID | None = START
        while reached is not None:
            reached, old = await self._db.read(
                store.find_old_failures, reached, STRETCH_ROWS, self._failure_window
            )
            if old:
                await self._db.run(store.delete_failures, old)
