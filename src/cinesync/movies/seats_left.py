"""The seats of shows that can be bought now: booking knows what is held, not only what is sold.

Booking counts for all who ask within two seconds at once. While it does not answer, shows tell what
is not sold, which movies knows itself, and booking is left alone for a few seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.movies.schemas import ShowView

PATH: Final = "/api/booking/availability"
TIMEOUT_SECONDS: Final = 1.0  # a list of shows is worth more than a better count
PAUSE_SECONDS: Final = 5.0
SHOWS_MAX: Final = 200

log = telemetry.get_logger(__name__)


class _Left(msgspec.Struct, frozen=True):
    show_id: UUID
    seats_left: int
    seats_held: int


class _Items(msgspec.Struct, frozen=True):
    items: list[_Left]


class SeatsLeft:
    """One per process; without `booking`, shows tell what is not sold."""

    def __init__(self, booking: HttpClient | None = None) -> None:
        self._booking = booking
        self._ask_after_seconds = -math.inf

    async def told(self, shows: Sequence[ShowView]) -> list[ShowView]:
        """The shows with what booking counted."""
        asked = [str(show.show_id) for show in shows if show.status == "scheduled"][:SHOWS_MAX]
        if self._booking is None or not asked:
            return list(shows)
        if clock.monotonic_seconds() < self._ask_after_seconds:
            return list(shows)
        try:
            counted = await self._counted(self._booking, asked)
        except NoResponse as away:
            log.warning("seats_left.unknown", reason=str(away))
            self._ask_after_seconds = clock.monotonic_seconds() + PAUSE_SECONDS
            return list(shows)
        return [_with(show, counted.get(show.show_id)) for show in shows]

    async def close(self) -> None:
        """Hang up."""
        if self._booking is not None:
            await self._booking.close()

    async def _counted(self, booking: HttpClient, show_ids: Sequence[str]) -> dict[UUID, _Left]:
        answer = await booking.call("GET", PATH, params={"show_ids": ",".join(show_ids)})
        if answer.status != HTTPStatus.OK:
            raise NoResponse(f"booking answered {answer.status}")
        try:
            items = msgspec.json.decode(answer.body, type=_Items).items
        except msgspec.MsgspecError as error:
            raise NoResponse("booking gave an answer that counts nothing") from error
        return {one.show_id: one for one in items}


def _with(show: ShowView, counted: _Left | None) -> ShowView:
    if counted is None:
        return show
    return replace(show, seats_left=counted.seats_left, seats_held=counted.seats_held)
