"""Publishes the list of ended sessions: to other services over HTTP, to this process directly.

The list is public: it holds random session ids, which give no access.
"""

import asyncio
from datetime import timedelta

import msgspec

from cinesync.auth.revocations import store as revocation_store
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction
from cinesync.chassis.http.client import NoResponse
from cinesync.chassis.http.etags import etag_of
from cinesync.chassis.http.security.revocations import (
    GUESTS_MAX,
    SESSIONS_MAX,
    RevocationList,
    Revocations,
)
from cinesync.chassis.problems import Unavailable

FRESH_SECONDS = 0.5  # the database is queried once in this time, however many processes poll
CLOCK_SKEW = timedelta(minutes=1)


class PublishedRevocations:
    """One per process; `revocations` is the list by which this process refuses tokens."""

    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        access_lifetime: timedelta,
        guest_lifetime: timedelta,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._access_lifetime = access_lifetime + CLOCK_SKEW
        self._guest_lifetime = guest_lifetime + CLOCK_SKEW
        self._read_at = -FRESH_SECONDS
        self._reading = asyncio.Lock()
        self._body = b""
        self._etag = ""
        revocations.follow(self._poll)

    @property
    def lifetime_max(self) -> timedelta:
        """The time after which no token of a session is valid any more."""
        return max(self._access_lifetime, self._guest_lifetime)

    async def refresh(self) -> None:
        """Read the list now, because this process has just ended a session."""
        async with self._reading:
            await self._read()

    async def body(self) -> tuple[bytes, str]:
        """The list as JSON, and its ETag."""
        async with self._reading:
            if clock.monotonic_seconds() - self._read_at >= FRESH_SECONDS:
                await self._read()
        return self._body, self._etag

    async def _poll(self, _etag: str) -> tuple[str, RevocationList | None]:
        try:
            await self.refresh()
        except Unavailable as error:
            raise NoResponse(str(error)) from error
        return self._etag, None

    async def _read(self) -> None:
        started = clock.monotonic_seconds()
        revocations = await self._db.read(self._list)
        self._read_at = started
        self._body = msgspec.json.encode(revocations)
        self._etag = etag_of(self._body)
        self._revocations.merge(revocations)

    async def _list(self, tx: Transaction) -> RevocationList:
        sessions = await revocation_store.list_revocations(
            tx, self._access_lifetime, SESSIONS_MAX + 1, is_guest=False
        )
        guests = await revocation_store.list_revocations(
            tx, self._guest_lifetime, GUESTS_MAX, is_guest=True
        )
        listed, left_out = sessions[:SESSIONS_MAX], sessions[SESSIONS_MAX:]
        return RevocationList(
            sessions={str(session_id): until for session_id, _, until in listed},
            guests={str(session_id): until for session_id, _, until in guests},
            # Tokens of the sessions left out were issued before these ended.
            not_before=left_out[0][1] + 1 if left_out else 0,
        )
