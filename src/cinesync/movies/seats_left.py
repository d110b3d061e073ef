"""How many seats of a show can be bought now, from booking, which knows the seats on hold too.

While booking does not respond, shows have the count of seats that are not sold, which movies knows
itself, and booking gets no request for PAUSE_SECONDS.
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


class _Count(msgspec.Struct, frozen=True):
    show_id: UUID
    seats_left: int
    seats_held: int


class _Availability(msgspec.Struct, frozen=True):
    items: list[_Count]


class SeatsLeft:
    """One per process; without `booking`, shows keep the count of seats that are not sold."""

    def __init__(self, booking: HttpClient | None = None) -> None:
        self._booking = booking
        self._paused_until_seconds = -math.inf

    async def add_to(self, shows: Sequence[ShowView]) -> list[ShowView]:
        """The shows with booking's counts."""
        show_ids = [str(show.show_id) for show in shows if show.status == "scheduled"][:SHOWS_MAX]
        if self._booking is None or not show_ids:
            return list(shows)
        if clock.monotonic_seconds() < self._paused_until_seconds:
            return list(shows)
        try:
            counts = await self._fetch(self._booking, show_ids)
        except NoResponse as error:
            log.warning("seats_left.unknown", reason=str(error))
            self._paused_until_seconds = clock.monotonic_seconds() + PAUSE_SECONDS
            return list(shows)
        return [_with_count(show, counts.get(show.show_id)) for show in shows]

    async def close(self) -> None:
        """Close the connection to booking."""
        if self._booking is not None:
            await self._booking.close()

    async def _fetch(self, booking: HttpClient, show_ids: Sequence[str]) -> dict[UUID, _Count]:
        response = await booking.call("GET", PATH, params={"show_ids": ",".join(show_ids)})
        if response.status != HTTPStatus.OK:
            raise NoResponse(f"booking responded with status {response.status}")
        try:
            counts = msgspec.json.decode(response.body, type=_Availability).items
        except msgspec.MsgspecError as error:
            raise NoResponse("booking's response has no counts") from error
        return {count.show_id: count for count in counts}


def _with_count(show: ShowView, count: _Count | None) -> ShowView:
    if count is None:
        return show
    return replace(show, seats_left=count.seats_left, seats_held=count.seats_held)
