"""The seat map."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec
from flask import Blueprint, make_response, render_template, request
from msgspec.structs import replace
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.api_models import SEATS_PER_HOLD_MAX, SeatMap, Seen, Show
from cinesync.web.formats import money
from cinesync.web.page_cache import public
from cinesync.web.session import api
from cinesync.web.storefront import seat_markup
from cinesync.web.storefront.seat_layout import KIND_NAMES, draw

blueprint = Blueprint("seats", __name__)

CONFLICT, RULE_BROKEN, TOO_MANY = 409, 422, 429
PARTY_DEFAULT = 2
PAGE_SECONDS = 1  # a browser's script makes up for it: the page's version is where it follows from


@blueprint.get("/shows/<uuid:show_id>")
@public(PAGE_SECONDS)
def seat_map(show_id: UUID) -> Response:
    return page(str(show_id), chosen=request.args.getlist("seat"))


def page(
    show_id: str,
    *,
    chosen: Sequence[str] = (),
    sentence: str = "",
    rule: str = "",
    status: int = 200,
) -> Response:
    """The map with what is chosen so far; seats that the visitor holds can be chosen as well."""
    seats, show = api().seats(show_id), api().show(show_id)
    held = session.hold_of(show_id)
    own = frozenset(held["seats"]) if held else frozenset()
    drawn = [replace(seat, state="free") if seat.seat in own else seat for seat in seats.seats]
    closed = _why_closed(seats, show)
    every = {seat.price_cents for seat in seats.seats}
    prices = {cents: money(cents, seats.currency) for cents in every}
    body = render_template(
        "seats.html",
        show=show,
        seats=seats,
        drawing=draw(drawn),
        sentence=sentence or closed,
        is_open=not closed,
        party=party(),
        seats_max=SEATS_PER_HOLD_MAX,
        prices=prices,
        marks=partial(seat_markup.marks, prices),
        boxes=partial(seat_markup.boxes, prices, frozenset(chosen or own)),
        kinds=sorted({seat.kind for seat in seats.seats}),
        kind_names=KIND_NAMES,
        rule=rule,
        own=sorted(own),
        need="need" in request.form,
        seen=seen_text(seats.seen),
    )
    return make_response(body, status)


def seen_text(seen: Seen) -> str:
    """For a form to carry."""
    return msgspec.json.encode(seen).decode()


def _why_closed(seats: SeatMap, show: Show) -> str:
    """Why no seat of the show is sold now, or nothing."""
    if seats.cancelled:
        reason = seats.cancel_reason or show.cancel_reason
        why = f": {reason}" if reason else ""
        return f"This show was cancelled{why}. Please choose another one."
    if seats.sales_close_at and seats.sales_close_at <= clock.now():
        if show.starts_at > clock.now():
            return "Tickets for this show are no longer sold. Please choose another one."
        return "This show has begun, and its tickets are no longer sold."
    return ""


def party() -> int:
    """The party size asked for, within what one hold may have."""
    given = request.values.get("best") or request.values.get("party") or ""
    return min(max(int(given), 1), SEATS_PER_HOLD_MAX) if given.isdecimal() else PARTY_DEFAULT
