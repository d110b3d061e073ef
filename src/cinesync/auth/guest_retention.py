"""Deletes guests who bought nothing: their e-mail is kept for no longer than it may be needed.

Ids rise with time (ADR 16), so guests come of age in the order of their ids: each pass goes on
from where the last one ended, and none reads the young. Booking says who bought something; those
stay. After a restart the first pass asks about them once more.
"""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec

from cinesync.auth import guest_store
from cinesync.auth.signing_keys import SigningKeys
from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Database
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.chassis.http.security.access_tokens import SERVICE_ROLE

PATH: Final = "/api/booking/customers/buyers"
BATCH_MAX: Final = 500
TOKEN_LIFETIME: Final = timedelta(minutes=1)
MYSELF: Final = UUID(int=0)  # no customer
TIMEOUT_SECONDS: Final = 10.0

log = telemetry.get_logger(__name__)


class BuyersResponse(msgspec.Struct, frozen=True):
    """Those of the customers asked about who bought something."""

    customer_ids: list[UUID]


class GuestRetention:
    """Any number of processes may do this side by side."""

    def __init__(
        self, db: Database, signing_keys: SigningKeys, booking: HttpClient, retention: timedelta
    ) -> None:
        self._db = db
        self._signing_keys = signing_keys
        self._booking = booking
        self._retention = retention
        self._reached = UUID(int=0)

    async def forget_guests(self) -> None:
        """All that have come of age; later, when booking does not answer."""
        try:
            while await self._forget_some():
                pass
        except NoResponse as away:
            log.warning("guests.kept", reason=str(away))

    async def close(self) -> None:
        """Hang up."""
        await self._booking.close()

    async def _forget_some(self) -> bool:
        """Whether there may be more. Raises NoResponse."""
        before = clock.first_id_of(clock.now() - self._retention)
        reached, guests = await self._db.read(
            guest_store.find_guests, self._reached, before, BATCH_MAX
        )
        if guests:
            buyers = set(await self._buyers(guests))
            idle = [guest for guest in guests if guest not in buyers]
            if idle:
                await self._db.run(guest_store.delete_guests, idle)
                log.info("guests.deleted", count=len(idle))
        if reached is None:
            return False
        self._reached = reached
        return True

    async def _buyers(self, guests: Sequence[UUID]) -> list[UUID]:
        token = await self._signing_keys.sign(
            MYSELF, SERVICE_ROLE, TOKEN_LIFETIME, email_key=MYSELF, session_id=MYSELF
        )
        answer = await self._booking.call(
            "POST",
            PATH,
            body={"customer_ids": guests},
            headers={"Authorization": f"Bearer {token.token}"},
        )
        if answer.status != HTTPStatus.OK:
            raise NoResponse(f"booking answered {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=BuyersResponse).customer_ids
        except msgspec.MsgspecError as error:
            raise NoResponse("booking gave an answer that says nothing of buyers") from error
