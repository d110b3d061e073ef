"""Reads holds and their prices from the booking service; prices never come from the client."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec

from cinesync.chassis.batcher import Batcher
from cinesync.chassis.http.client import HttpClient, HttpResponse, NoResponse
from cinesync.chassis.problems import Forbidden, Problem, Unauthorized
from cinesync.payment.model import AlreadyPaid, BookingAway, Hold, HoldNotPayable, UnknownHold

PATH: Final = "/api/booking/holds/read"
BATCH_MAX: Final = 50
AT_ONCE: Final = 4  # reads do not conflict
PAYABLE: Final = "held"
PAID: Final = "confirmed"


class HoldQuery(msgspec.Struct, frozen=True):
    """One hold, read with its customer's own access token."""

    hold_id: UUID
    token: str


class _Hold(msgspec.Struct, frozen=True):
    hold_id: UUID
    total_cents: int
    currency: str
    expires_at: datetime
    status: str = PAYABLE


class _Item(msgspec.Struct, frozen=True):
    status: int
    hold: _Hold | None = None


class _Items(msgspec.Struct, frozen=True):
    items: list[_Item]


class HoldClient:
    """Reads the holds of payments that start together in one request."""

    def __init__(self, booking: HttpClient) -> None:
        self._booking = booking
        self._queries = Batcher(
            "payment.holds", self._read_batch, batch_max=BATCH_MAX, at_once=AT_ONCE
        )

    async def read(self, hold_id: UUID, token: str) -> Hold:
        """Raises UnknownHold, HoldNotPayable, Unauthorized, Forbidden, BookingAway."""
        return await self._queries.submit(HoldQuery(hold_id, token))

    async def close(self) -> None:
        """Finish running requests, and close the connections."""
        await self._queries.close()
        await self._booking.close()

    async def _read_batch(self, queries: Sequence[HoldQuery]) -> Sequence[Hold | Exception]:
        try:
            response = await self._booking.call("POST", PATH, body={"items": queries})
        except NoResponse as error:
            raise BookingAway(retry_after_seconds=2) from error
        return [_hold(item) for item in _items(response, len(queries))]


def _items(response: HttpResponse, count: int) -> list[_Item]:
    """Raises BookingAway for anything but `count` items."""
    if response.status != HTTPStatus.OK:
        raise BookingAway(retry_after_seconds=2)
    try:
        items = msgspec.json.decode(response.body, type=_Items).items
    except msgspec.MsgspecError as error:
        raise BookingAway(retry_after_seconds=2) from error
    if len(items) != count:
        raise BookingAway(retry_after_seconds=2)
    return items


def _hold(item: _Item) -> Hold | Exception:
    refusal = REFUSALS.get(item.status)
    if refusal is not None:
        return refusal()
    found = item.hold
    if item.status != HTTPStatus.OK or found is None:
        return BookingAway(retry_after_seconds=2)
    if found.status == PAID:
        return AlreadyPaid(booking_id=found.hold_id)
    if found.status != PAYABLE:
        return HoldNotPayable(f"The hold is {found.status}.", hold_status=found.status)
    return Hold(
        hold_id=found.hold_id,
        total_cents=found.total_cents,
        currency=found.currency,
        expires_at=found.expires_at,
    )


REFUSALS: Final[Mapping[int, type[Problem]]] = {
    HTTPStatus.NOT_FOUND: UnknownHold,
    HTTPStatus.CONFLICT: HoldNotPayable,
    HTTPStatus.GONE: HoldNotPayable,
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Forbidden,
}
