"""Deletes guests who bought nothing, because their e-mail is not needed any more.

Ids rise with time (ADR 16), so guests reach the retention period in the order of their ids: each
pass continues where the last one ended, and none reads younger guests. Guests who bought something
according to booking stay. After a restart the first pass begins with the first guest again.
"""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec

from cinesync.auth.credentials.signing_keys import SigningKeys
from cinesync.auth.retention import store as guest_store
from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Database
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.chassis.http.security.access_tokens import SERVICE_ROLE

PATH: Final = "/api/booking/customers/buyers"
BATCH_MAX: Final = 500
TOKEN_LIFETIME: Final = timedelta(minutes=1)
NO_CUSTOMER: Final = UUID(int=0)  # the token is this service's own
TIMEOUT_SECONDS: Final = 10.0

log = telemetry.get_logger(__name__)


class _Buyers(msgspec.Struct, frozen=True):
    """Booking's response: the customers of the request who bought something."""

    customer_ids: list[UUID]


class GuestRetention:
    """Any number of processes may run it at the same time."""

    def __init__(
        self, db: Database, signing_keys: SigningKeys, booking: HttpClient, retention: timedelta
    ) -> None:
        self._db = db
        self._signing_keys = signing_keys
        self._booking = booking
        self._retention = retention
        self._reached = UUID(int=0)

    async def delete_guests(self) -> None:
        """Delete all that are due; none while booking does not respond."""
        try:
            while await self._delete_batch():
                pass
        except NoResponse as error:
            log.warning("guests.not_deleted", reason=str(error))

    async def close(self) -> None:
        """Close the connection to booking."""
        await self._booking.close()

    async def _delete_batch(self) -> bool:
        """Whether there may be more guests to delete. Raises NoResponse."""
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
            NO_CUSTOMER,
            SERVICE_ROLE,
            TOKEN_LIFETIME,
            email_key=NO_CUSTOMER,
            session_id=NO_CUSTOMER,
        )
        response = await self._booking.call(
            "POST",
            PATH,
            body={"customer_ids": guests},
            headers={"Authorization": f"Bearer {token.token}"},
        )
        if response.status != HTTPStatus.OK:
            raise NoResponse(f"booking responded with status {response.status}")
        try:
            return msgspec.json.decode(response.body, type=_Buyers).customer_ids
        except msgspec.MsgspecError as error:
            raise NoResponse("booking's response is not a list of buyers") from error
