"""The seats of a room as markup, without a template: there are hundreds, twice, on each seat map.

Rendering a seat by Jinja takes ten times as long. Every text from outside is escaped here.
"""

from collections.abc import Collection, Mapping
from html import escape

from markupsafe import Markup

from cinesync.web.api_models import Seat
from cinesync.web.formats import words
from cinesync.web.storefront.seat_layout import (
    KIND_NAMES,
    STATE_NAMES,
    DrawnRow,
    DrawnSeat,
    seat_title,
)

ZONE_MARKS_MAX = 4  # signs of zones in the drawing, beside the plain one
SIGNED_KINDS = frozenset({"wheelchair", "companion"})  # show a sign while they are free

Prices = Mapping[int, str]


def marks(prices: Prices, row: DrawnRow) -> Markup:
    """The seats of a row as the drawing has them; `prices` are words for cents."""
    drawn = [_mark(one, prices[one.seat.price_cents]) for one in row.seats]
    return Markup("".join(drawn))  # noqa: S704 every text in it is escaped below


def boxes(prices: Prices, chosen: Collection[str], row: DrawnRow) -> Markup:
    """The seats of a row to tick in the list; each tells its price if the row has several."""
    own = {} if row.is_one_zone else prices
    seats = (one.seat for one in row.seats)
    listed = [_box(seat, own.get(seat.price_cents, ""), seat.seat in chosen) for seat in seats]
    return Markup("".join(listed))  # noqa: S704 every text in it is escaped below


def _mark(one: DrawnSeat, price: str) -> str:
    seat, title = one.seat, escape(seat_title(one.seat, price))
    name, state, kind = escape(seat.seat), escape(seat.state), escape(seat.kind)
    arms = '<use href="#arms"/>' if seat.kind == "recliner" else ""
    if seat.state != "free" or seat.kind in SIGNED_KINDS:
        sign = f'<use class="mark" href="#mark-{kind if seat.state == "free" else state}"/>'
    else:
        sign = f'<text y="4">{seat.number}</text>'
    return (
        f'\n<g class="seat z{one.level} is-{state}" transform="translate({one.x} {one.y})"'
        f' data-seat="{name}" data-state="{state}" data-kind="{kind}" data-name="{title}">'
        f"<title>{title}, {_state_name(seat)}</title>"
        f'<use href="#seat"/><use href="#zone-{min(one.level, ZONE_MARKS_MAX)}"/>{arms}{sign}</g>'
    )


def _box(seat: Seat, price: str, is_chosen: bool) -> str:  # noqa: FBT001 called by position
    is_free = seat.state == "free"
    ticked = " checked" if is_chosen else ""
    kind = f" {escape(KIND_NAMES.get(seat.kind, seat.kind))}" if seat.kind != "standard" else ""
    zone = f" {escape(words(seat.zone))}, {escape(price)}" if price else ""
    return (
        f'\n<label class="seat-box{"" if is_free else " is-off"}">'
        f'<input type="checkbox" name="seat" value="{escape(seat.seat)}"'
        f' data-cents="{seat.price_cents}"{ticked if is_free else " disabled"}>\n'
        f"<span>{seat.number}<small>{kind}{zone}"
        f"<span data-state>{'' if is_free else f' {_state_name(seat)}'}</span>"
        f"</small></span></label>"
    )


def _state_name(seat: Seat) -> str:
    return escape(STATE_NAMES.get(seat.state, seat.state))
