"""The seat map page."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec
from flask import make_response, render_template, request
from msgspec.structs import replace
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.api_models import SeatMap, SeenOffer, Show
from cinesync.web.formats import money
from cinesync.web.page_cache import public
from cinesync.web.session import api
from cinesync.web.storefront import seat_markup
from cinesync.web.storefront.seat_layout import KIND_NAMES, draw

PARTY_SIZE_DEFAULT = 2
PAGE_SECONDS = 1  # live.js resumes from the page's version, so that it misses no change


@public(PAGE_SECONDS)
def seat_map(show_id: UUID) -> Response:
    return seat_map_page(str(show_id), chosen=request.args.getlist("seat"))


def seat_map_page(
    show_id: str,
    *,
    chosen: Sequence[str] = (),
    sentence: str = "",
    rule: str = "",
    status: int = 200,
) -> Response:
    """The map with the chosen seats. Seats of the visitor's own hold can be chosen, too."""
    seats, show = api().seats(show_id), api().show(show_id)
    held = session.hold_of(show_id)
    own = frozenset(held["seats"]) if held else frozenset()
    drawn = [replace(seat, state="free") if seat.seat in own else seat for seat in seats.seats]
    closed = _closed_sentence(seats, show)
    prices = {
        cents: money(cents, seats.currency) for cents in {seat.price_cents for seat in seats.seats}
    }
    body = render_template(
        "storefront/seats.html",
        show=show,
        seats=seats,
        drawing=draw(drawn),
        sentence=sentence or closed,
        is_open=not closed,
        party_size=party_size(seats.seats_per_hold_max),
        prices=prices,
        marks=partial(seat_markup.marks, prices),
        boxes=partial(seat_markup.boxes, prices, frozenset(chosen or own)),
        kinds=sorted({seat.kind for seat in seats.seats}),
        kind_names=KIND_NAMES,
        rule=rule,
        own=sorted(own),
        need="need" in request.form,
        seen=seen_json(seats.seen),
    )
    return make_response(body, status)


def seen_json(seen: SeenOffer) -> str:
    """For a hidden field of the form."""
    return msgspec.json.encode(seen).decode()


def _closed_sentence(seats: SeatMap, show: Show) -> str:
    """Why no seats are on sale, or an empty text."""
    if seats.cancelled:
        reason = seats.cancel_reason or show.cancel_reason
        because = f": {reason}" if reason else ""
        return f"This show was cancelled{because}. Please choose another one."
    if seats.sales_close_at and seats.sales_close_at <= clock.now():
        if show.starts_at > clock.now():
            return "Tickets for this show are no longer on sale. Please choose another one."
        return "This show has started, and its tickets are no longer on sale."
    return ""


def party_size(limit: int) -> int:
    """The number of seats to find, from the request."""
    text = request.values.get("best") or request.values.get("party") or ""
    return min(max(int(text), 1), limit) if text.isdecimal() else min(PARTY_SIZE_DEFAULT, limit)
