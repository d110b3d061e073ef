"""Seat maps, live seats and holds: what everybody asks for when a film opens."""

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from cinesync.booking import routes, schemas
from cinesync.booking.context import Shop
from cinesync.chassis.http.client_address import address_in
from cinesync.chassis.http.fast_path import Answer, Asked, Shortcut, bytes_answer, json_answer

WISH = msgspec.json.Decoder(schemas.HoldWish)
SINCE = re.compile(rb"since=(\d{1,15})")
STREAM_HEADERS = [
    (b"content-type", f"{routes.EVENTS_TYPE}; charset=utf-8".encode()),
    *((name.encode(), value.encode()) for name, value in routes.EVENTS_HEADERS.items()),
]


def shortcuts(shop: Shop) -> Sequence[Shortcut]:
    """Those under /api/booking."""

    async def seats(asked: Asked) -> Answer | None:
        [show_id] = asked.keys
        known, coding = asked.header(b"if-none-match"), asked.header(b"accept-encoding")
        status, body, headers = await routes.seat_map(shop, show_id, known or "", coding or "")
        if status == HTTPStatus.NOT_MODIFIED:
            return Answer(status, body, headers)
        return bytes_answer(status, body, *headers)

    async def live(asked: Asked) -> Answer | None:
        query = asked.scope["query_string"]
        since = SINCE.fullmatch(query)
        if query and not since:
            return None
        [show_id] = asked.keys
        known = asked.header(b"last-event-id")
        if known is None:
            known = since[1].decode() if since else ""
        stream = await routes.listen(shop, show_id, known, address_in(asked.scope))
        return Answer(200, stream, STREAM_HEADERS)

    async def make_hold(asked: Asked) -> Answer | None:
        wish = asked.json(WISH)
        if wish is None:
            return None
        return json_answer(201, await routes.hold(shop, wish, asked.scope, asked.caller))

    return [
        Shortcut("POST", "/api/booking/holds", make_hold),
        Shortcut("GET", "/api/booking/shows/{show_id:uuid}/seats", seats),
        Shortcut("GET", "/api/booking/shows/{show_id:uuid}/live", live),
    ]
