"""Forgets what is over: a slow hand that goes through each table by its key, stretch by stretch.

An index that leads with a time would make every insert of every process meet on one page.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cinesync.auth import action_store, link_store, revocation_store, store
from cinesync.auth.guest_retention import GuestRetention
from cinesync.chassis import background
from cinesync.chassis.database import Database

STRETCH_ROWS = 1_000
START = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPeriods:
    """How long what counts: failures, actions that are throttled, tokens that were revoked."""

    failures: timedelta
    actions: timedelta
    tokens: timedelta


class Cleanup:
    """Any number of processes may do this side by side."""

    def __init__(
        self,
        db: Database,
        windows: RetentionPeriods,
        pause_seconds: float,
        guests: GuestRetention | None = None,
    ) -> None:
        self._db = db
        self._windows = windows
        self._pause_seconds = pause_seconds
        self._guests = guests

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.forget_sessions()
            await self.forget_failures()
            await self._db.run_one(revocation_store.delete_old_revocations, self._windows.tokens)
            await self.forget_actions()
            await self._db.run(link_store.delete_expired)
            if self._guests is not None:
                await self._guests.forget_guests()
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
                store.find_old_failures, reached, STRETCH_ROWS, self._windows.failures
            )
            if old:
                await self._db.run(store.delete_failures, old)

    async def forget_actions(self) -> None:
        """Once through the table."""
        reached: UUID | None = START
        while reached is not None:
            reached, old = await self._db.read(
                action_store.find_old, reached, STRETCH_ROWS, self._windows.actions
            )
            if old:
                await self._db.run(action_store.delete, old)
