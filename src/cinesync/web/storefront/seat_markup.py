"""The seats of the seat map as markup, without Jinja, which takes ten times as long.

A seat map has hundreds of seats, each twice. Every text from an API is escaped here.
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

ZONE_MARKS_MAX = 4  # beside the cheapest zone, which has no mark
MARKED_KINDS = frozenset({"wheelchair", "companion"})  # have a mark while they are free

PriceTexts = Mapping[int, str]  # by cents


def marks(prices: PriceTexts, row: DrawnRow) -> Markup:
    """The seats of a row in the drawing."""
    seats = [_mark(one, prices[one.seat.price_cents]) for one in row.seats]
    return Markup("".join(seats))  # noqa: S704 _mark escapes every text


def boxes(prices: PriceTexts, chosen: Collection[str], row: DrawnRow) -> Markup:
    """The check boxes of a row, with prices if the row has several zones."""
    shown = {} if row.is_one_zone else prices
    seats = (one.seat for one in row.seats)
    listed = [_box(seat, shown.get(seat.price_cents, ""), seat.seat in chosen) for seat in seats]
    return Markup("".join(listed))  # noqa: S704 _box escapes every text


def _mark(one: DrawnSeat, price: str) -> str:
    seat, title = one.seat, escape(seat_title(one.seat, price))
    name, state, kind = escape(seat.seat), escape(seat.state), escape(seat.kind)
    arms = '<use href="#arms"/>' if seat.kind == "recliner" else ""
    if seat.state != "free" or seat.kind in MARKED_KINDS:
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
