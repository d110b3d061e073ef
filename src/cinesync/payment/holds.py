"""Asks the booking service what a hold costs; prices never come from the client."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

import httpx
import msgspec

from cinesync.chassis import telemetry
from cinesync.chassis.problems import Forbidden, Unauthorized
from cinesync.payment.model import BookingAway, Hold, HoldNotPayable, UnknownHold

GONE: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.GONE})
PAYABLE: Final = "held"


class _Hold(msgspec.Struct, frozen=True):
    hold_id: UUID
    total_cents: int
    currency: str
    expires_at: datetime
    status: str = PAYABLE


@dataclass(frozen=True, slots=True)
class Holds:
    """`client` carries booking's address and a timeout."""

    client: httpx.AsyncClient

    async def read(self, hold_id: UUID, token: str) -> Hold:
        """The customer's own hold, asked for with the customer's own token.

        Raises UnknownHold, HoldNotPayable, Unauthorized, Forbidden, BookingAway.
        """
        headers = {
            "authorization": f"Bearer {token}",
            "traceparent": telemetry.current_trace(),
        }
        try:
            answer = await self.client.get(f"/api/booking/holds/{hold_id}", headers=headers)
        except httpx.HTTPError as error:
            raise BookingAway(retry_after_seconds=2) from error
        _check(answer.status_code)
        return _hold(answer.content)


def _check(status: int) -> None:
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise UnknownHold
    if status in GONE:
        raise HoldNotPayable
    if status == HTTPStatus.UNAUTHORIZED:
        raise Unauthorized
    if status == HTTPStatus.FORBIDDEN:
        raise Forbidden
    raise BookingAway(retry_after_seconds=2)


def _hold(body: bytes) -> Hold:
    try:
        found = msgspec.json.decode(body, type=_Hold)
    except msgspec.MsgspecError as error:
        raise BookingAway(retry_after_seconds=2) from error
    if found.status != PAYABLE:
        raise HoldNotPayable(f"The hold is {found.status}.", hold_status=found.status)
    if found.total_cents <= 0:
        raise HoldNotPayable("There is nothing to pay.")
    return Hold(
        hold_id=found.hold_id,
        total_cents=found.total_cents,
        currency=found.currency,
        expires_at=found.expires_at,
    )
