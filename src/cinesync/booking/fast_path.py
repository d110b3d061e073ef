"""Seat maps, live seats and holds: what everybody asks for when a film opens."""

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from cinesync.booking import routes, schemas
from cinesync.booking.context import Shop
from cinesync.chassis.http.fast_path import (
    FastPath,
    FastRequest,
    FastResponse,
    bytes_response,
    json_response,
)
from cinesync.chassis.http.security.client_address import address_in

WISH = msgspec.json.Decoder(schemas.HoldWish)
SINCE = re.compile(rb"since=(\d{1,15})")
STREAM_HEADERS = [
    (b"content-type", f"{routes.EVENTS_TYPE}; charset=utf-8".encode()),
    *((name.encode(), value.encode()) for name, value in routes.EVENTS_HEADERS.items()),
]


def fast_paths(shop: Shop) -> Sequence[FastPath]:
    """Those under /api/booking."""

    async def seats(request: FastRequest) -> FastResponse | None:
        [show_id] = request.keys
        known, coding = request.header(b"if-none-match"), request.header(b"accept-encoding")
        status, body, headers = await routes.seat_map(shop, show_id, known or "", coding or "")
        if status == HTTPStatus.NOT_MODIFIED:
            return FastResponse(status, body, headers)
        return bytes_response(status, body, *headers)

    async def live(request: FastRequest) -> FastResponse | None:
        query = request.scope["query_string"]
        since = SINCE.fullmatch(query)
        if query and not since:
            return None
        [show_id] = request.keys
        known = request.header(b"last-event-id")
        if known is None:
            known = since[1].decode() if since else ""
        stream = await routes.listen(shop, show_id, known, address_in(request.scope))
        return FastResponse(200, stream, STREAM_HEADERS)

    async def make_hold(request: FastRequest) -> FastResponse | None:
        wish = request.json(WISH)
        if wish is None:
            return None
        return json_response(201, await routes.hold(shop, wish, request.scope, request.caller))

    return [
        FastPath("POST", "/api/booking/holds", make_hold),
        FastPath("GET", "/api/booking/shows/{show_id:uuid}/seats", seats),
        FastPath("GET", "/api/booking/shows/{show_id:uuid}/live", live),
    ]
