"""The layout of the seat map: from seat pitches to SVG units. Pure."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import Struct

from cinesync.web.api_models import Seat

PITCH = 36.0
MARGIN = 48.0
SCREEN_HEIGHT = 64.0

KIND_NAMES = {
    "standard": "",
    "recliner": "recliner",
    "wheelchair": "wheelchair place",
    "companion": "companion seat",
}
STATE_NAMES = {"free": "free", "held": "in someone's basket", "booked": "sold"}


class Zone(Struct, frozen=True):
    """A price zone; `level` counts from the cheapest and selects the mark on the map."""

    zone: str
    price_cents: int
    level: int


class DrawnSeat(Struct, frozen=True):
    seat: Seat
    x: float
    y: float
    level: int


class DrawnRow(Struct, frozen=True):
    row: str
    label_left: tuple[float, float]
    label_right: tuple[float, float]
    seats: list[DrawnSeat]

    @property
    def is_one_zone(self) -> bool:
        return len({one.seat.zone for one in self.seats}) == 1


class Drawing(Struct, frozen=True):
    width: float
    height: float
    screen: str
    rows: list[DrawnRow]
    zones: list[Zone]


def zones_of(seats: Iterable[Seat]) -> list[Zone]:
    """The zones with their lowest prices, the cheapest first."""
    cheapest: dict[str, int] = {}
    for seat in seats:
        cheapest[seat.zone] = min(seat.price_cents, cheapest.get(seat.zone, seat.price_cents))
    ordered = sorted(cheapest.items(), key=lambda item: (item[1], item[0]))
    return [Zone(zone, price, level) for level, (zone, price) in enumerate(ordered)]


def draw(seats: Sequence[Seat]) -> Drawing:
    """The auditorium, with the screen on top and the front row first."""
    zones = zones_of(seats)
    levels = {zone.zone: zone.level for zone in zones}
    left = min((seat.x for seat in seats), default=0.0)
    front = min((seat.y for seat in seats), default=0.0)
    drawn = [
        DrawnSeat(
            seat,
            round(MARGIN + (seat.x - left + 0.5) * PITCH, 1),
            round(SCREEN_HEIGHT + (seat.y - front + 0.5) * PITCH, 1),
            levels[seat.zone],
        )
        for seat in seats
    ]
    width = max((seat.x for seat in drawn), default=0.0) + PITCH / 2 + MARGIN
    height = max((seat.y for seat in drawn), default=0.0) + PITCH
    return Drawing(width, height, _screen(width), _rows(drawn), zones)


def _rows(drawn: Iterable[DrawnSeat]) -> list[DrawnRow]:
    by_row = sorted(drawn, key=lambda one: (one.seat.row, one.x))
    rows = [_row(row, list(group)) for row, group in groupby(by_row, key=lambda one: one.seat.row)]
    return sorted(rows, key=lambda row: min(one.y for one in row.seats))


def _row(row: str, seats: list[DrawnSeat]) -> DrawnRow:
    first, last = seats[0], seats[-1]
    return DrawnRow(row, (first.x - PITCH, first.y), (last.x + PITCH, last.y), seats)


def _screen(width: float) -> str:
    """A shallow arc, as wide as four fifths of the auditorium."""
    return f"M{width * 0.1:.0f} 34 Q{width / 2:.0f} 6 {width * 0.9:.0f} 34"


def seat_title(seat: Seat, price: str) -> str:
    """The seat's name for screen readers and tooltips."""
    kind = KIND_NAMES.get(seat.kind, seat.kind)
    words = [f"Row {seat.row}, seat {seat.number}", kind, seat.zone, price]
    return ", ".join(word for word in words if word)
