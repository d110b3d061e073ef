"""HTTP routes of seat maps: seats left, the seat map of a show, and its live changes."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from litestar import Response, get
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from cinesync.booking.model import Terms
from cinesync.booking.seatmap.availability import Availability
from cinesync.booking.seatmap.hub import SeatMapHub
from cinesync.booking.seatmap.schemas import AvailabilityView, SeatMapView, seat_map_view
from cinesync.chassis.http.content_encoding import VARY
from cinesync.chassis.http.etags import matches, weak_etag
from cinesync.chassis.http.fast_path import FastPath, FastRequest, FastResponse, bytes_response
from cinesync.chassis.http.parameters import AcceptEncoding, AnyRequest, IfNoneMatch
from cinesync.chassis.http.security.client_address import address_in
from cinesync.chassis.problems import Invalid

SHOWS_PER_REQUEST_MAX: Final = 200
AVAILABILITY_AGE_SECONDS: Final = 1
SEAT_MAP_CACHING: Final = b"no-cache"  # caches revalidate it on each use
EVENTS_TYPE: Final = "text/event-stream"
EVENTS_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
FAST_EVENTS_HEADERS: Final = [
    (b"content-type", f"{EVENTS_TYPE}; charset=utf-8".encode()),
    *((name.encode(), value.encode()) for name, value in EVENTS_HEADERS.items()),
]
VERSION_DIGITS_MAX: Final = 16
VERSION_MAX: Final = 2**53
SINCE_QUERY: Final = re.compile(rb"since=(\d{1,15})")

Since = Annotated[
    int | None, QueryParameter(ge=0, le=VERSION_MAX, description="the version known already")
]
LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID")]
ShowIds = Annotated[str, QueryParameter(description="ids of shows, with commas between")]


@dataclass(frozen=True, slots=True)
class SeatMaps:
    """What these routes need."""

    hub: SeatMapHub
    availability: Availability
    terms: Terms


@get(
    "/availability",
    responses={200: ResponseSpec(AvailabilityView, description="Seats left")},
)
async def availability(
    seat_maps: NamedDependency[SeatMaps], show_ids: ShowIds
) -> Response[AvailabilityView]:
    """How many seats of these shows can be bought now: neither sold nor held."""
    found = await seat_maps.availability.of(_parse_show_ids(show_ids))
    headers = {"Cache-Control": f"public, max-age={AVAILABILITY_AGE_SECONDS}"}
    return Response(AvailabilityView(found), headers=headers)


def _parse_show_ids(text: str) -> list[UUID]:
    """Raises Invalid."""
    try:
        show_ids = [UUID(one) for one in text.split(",")]
    except ValueError as error:
        raise Invalid("`show_ids` takes ids of shows, with commas between.") from error
    if len(show_ids) > SHOWS_PER_REQUEST_MAX:
        raise Invalid(f"`show_ids` takes {SHOWS_PER_REQUEST_MAX} at most.")
    return show_ids


@get(
    "/shows/{show_id:uuid}/seats",
    responses={200: ResponseSpec(SeatMapView, description="The seat map")},
    response_headers=[ResponseHeader(name="ETag", documentation_only=True)],
)
async def seats(
    seat_maps: NamedDependency[SeatMaps],
    show_id: FromPath[UUID],
    if_none_match: IfNoneMatch = "",
    accept_encoding: AcceptEncoding = "",
) -> Response[bytes]:
    """The seats of a show with price and state. Its ETag is its version."""
    status, body, raw = await seat_map(seat_maps, show_id, if_none_match, accept_encoding)
    headers = {name.decode(): value.decode() for name, value in raw}
    return Response(body, status_code=status, media_type="application/json", headers=headers)


async def seats_fast(seat_maps: SeatMaps, request: FastRequest) -> FastResponse | None:
    """The fast path of `seats`."""
    [show_id] = request.keys
    if_none_match = request.header(b"if-none-match") or ""
    accept_encoding = request.header(b"accept-encoding") or ""
    status, body, headers = await seat_map(seat_maps, show_id, if_none_match, accept_encoding)
    if status == HTTPStatus.NOT_MODIFIED:
        return FastResponse(status, body, headers)
    return bytes_response(status, body, *headers)


async def seat_map(
    seat_maps: SeatMaps, show_id: UUID, if_none_match: str, accept_encoding: str
) -> tuple[int, bytes, Sequence[tuple[bytes, bytes]]]:
    """Status, JSON and headers. Raises UnknownShow."""
    version, shared = await seat_maps.hub.seat_map(
        show_id, lambda state: seat_map_view(state, seat_maps.terms)
    )
    tag = f'"{version}"'
    headers = (b"etag", weak_etag(tag)), (b"cache-control", SEAT_MAP_CACHING)
    if matches(tag, if_none_match):
        return 304, b"", [*headers, VARY]
    body, coding = shared.encoded(accept_encoding)
    return 200, body, [*headers, *coding]


@get("/shows/{show_id:uuid}/live", media_type=EVENTS_TYPE)
async def live(
    seat_maps: NamedDependency[SeatMaps],
    request: AnyRequest,
    show_id: FromPath[UUID],
    since: Since = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """Seat changes as they happen (server-sent events).

    `seats`: what changed. `snapshot`: every seat that is not free, if the requested version is
    unknown here. `show`: times or prices changed; fetch the seat map again.
    """
    known = last_event_id if last_event_id is not None else str(since)
    stream = await subscribe(seat_maps, show_id, known, address_in(request.scope))
    return Stream(stream, media_type=EVENTS_TYPE, headers=EVENTS_HEADERS)


async def live_fast(seat_maps: SeatMaps, request: FastRequest) -> FastResponse | None:
    """The fast path of `live`."""
    query = request.scope["query_string"]
    since = SINCE_QUERY.fullmatch(query)
    if query and not since:
        return None
    [show_id] = request.keys
    known = request.header(b"last-event-id")
    if known is None:
        known = since[1].decode() if since else ""
    stream = await subscribe(seat_maps, show_id, known, address_in(request.scope))
    return FastResponse(200, stream, FAST_EVENTS_HEADERS)


async def subscribe(
    seat_maps: SeatMaps, show_id: UUID, known: str, address: str
) -> AsyncIterator[bytes]:
    """Events from the version `known` on, if it is a version. Raises as SeatMapHub.subscribe."""
    is_version = known.isdecimal() and known.isascii() and len(known) <= VERSION_DIGITS_MAX
    return await seat_maps.hub.subscribe(show_id, int(known) if is_version else None, address)


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (availability, seats, live)


def fast_paths(seat_maps: SeatMaps) -> Sequence[FastPath]:
    """The seat map and its live changes."""
    return [
        FastPath("GET", "/api/booking/shows/{show_id:uuid}/seats", partial(seats_fast, seat_maps)),
        FastPath("GET", "/api/booking/shows/{show_id:uuid}/live", partial(live_fast, seat_maps)),
    ]
