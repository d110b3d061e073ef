"""Converts a floor plan, drawn with letters, to a layout: seats with labels and places. Pure.

The drawing shows the auditorium from above, the screen on top:

f front · s standard · p premium · b balcony · l sofa · v VIP recliner · W wheelchair place · C the
companion seat beside it · a space is an aisle or a pillar · ' is the half-width table or armrest
between two pairs · a line starts a row; an empty line is a crossing aisle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from uuid import UUID, uuid5

import msgspec

from cinesync.contracts.movies import Layout, LayoutSeat

SEATS_MAX = 1_000
HALF = "'"
_ZONES = {"f": "front", "s": "standard", "p": "premium", "b": "balcony", "l": "sofa", "v": "vip"}
_KINDS = {"W": "wheelchair", "C": "companion", "v": "recliner", "l": "recliner"}
_NAMESPACE = UUID("5b0c2f52-6b0e-4c39-9f0e-6a4c6f4f7f1d")


class InvalidFloorPlan(ValueError):
    """A drawing with an unknown letter, or a wheelchair place without its companion seat."""


@dataclass(frozen=True, slots=True)
class FloorPlan:
    """A drawing, and the geometry that letters cannot show.

    `curve` is how many seat pitches the ends of a row are nearer to the screen than its middle,
    `pitch` the width of a seat, `depth` the distance of rows; `place_zone` is the price zone of
    wheelchair places and their companion seats.
    """

    rows: str
    curve: float = 0.0
    pitch: float = 1.0
    depth: float = 1.2
    place_zone: str = "standard"


@dataclass(frozen=True, slots=True)
class _Spot:
    """A seat's letter. `at` is in seat widths from the left, `run` counts the gaps before it."""

    letter: str
    at: float
    run: int


def layout_of(plan: FloorPlan, *, mirrored: bool = False) -> Layout:
    """The layout of a floor plan. Its id follows from the seats: equal seats, equal id.

    Raises InvalidFloorPlan.
    """
    seats = tuple(_seats(plan, mirrored=mirrored))
    if not 0 < len(seats) <= SEATS_MAX:
        raise InvalidFloorPlan(f"{len(seats)} seats; an auditorium has 1 to {SEATS_MAX}")
    layout_id = uuid5(_NAMESPACE, msgspec.json.encode(seats).decode())
    return Layout(layout_id=layout_id, seats=seats)


def _seats(plan: FloorPlan, *, mirrored: bool) -> Iterator[LayoutSeat]:
    lines = plan.rows.split("\n")
    rows = [list(_spots(line)) for line in lines]
    left, right = _walls(rows)
    row_index = 0
    for depth_index, spots in enumerate(rows):
        if not spots:
            continue
        placed = [_mirror(spot, left, right) for spot in reversed(spots)] if mirrored else spots
        for seat in _row(_row_name(row_index), placed, plan):
            yield _curved(seat, depth_index, plan, left, right)
        row_index += 1


def _spots(line: str) -> Iterator[_Spot]:
    at, run, in_gap = 0.0, -1, True
    for letter in line:
        if letter in (" ", HALF):
            at += 1.0 if letter == " " else 0.5
            in_gap = True
            continue
        if letter not in _ZONES and letter not in _KINDS:
            raise InvalidFloorPlan(f"{letter!r} is no seat")
        run += in_gap
        in_gap = False
        yield _Spot(letter, at, run)
        at += 1.0


def _walls(rows: Sequence[Sequence[_Spot]]) -> tuple[float, float]:
    places = [spot.at for row in rows for spot in row]
    return min(places, default=0.0), max(places, default=0.0)


def _mirror(spot: _Spot, left: float, right: float) -> _Spot:
    return replace(spot, at=left + right - spot.at, run=-spot.run)


def _row_name(index: int) -> str:
    """A to Z, then AA, AB …"""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    first, last = divmod(index, len(letters))
    return (letters[first - 1] if first else "") + letters[last]


def _row(row: str, spots: Sequence[_Spot], plan: FloorPlan) -> Iterator[LayoutSeat]:
    runs = {run: index for index, run in enumerate(dict.fromkeys(spot.run for spot in spots))}
    places = _companions(row, spots)
    for number, spot in enumerate(spots, 1):
        yield LayoutSeat(
            seat=f"{row}{number}",
            row=row,
            number=number,
            zone=_ZONES.get(spot.letter, plan.place_zone),
            kind=_KINDS.get(spot.letter, "standard"),
            x=spot.at,
            y=0.0,
            run=runs[spot.run],
            companion_of=places.get(number),
        )


def _companions(row: str, spots: Sequence[_Spot]) -> dict[int, str]:
    """The label of the wheelchair place beside each companion seat, by the seat's number."""
    places: dict[int, str] = {}
    taken: set[int] = set()
    for number, (one, other) in enumerate(pairwise(spots), 1):
        pair = {one.letter: number, other.letter: number + 1}
        if pair.keys() == {"W", "C"} and one.run == other.run and taken.isdisjoint(pair.values()):
            places[pair["C"]] = f"{row}{pair['W']}"
            taken.update(pair.values())
    if len(taken) != sum(spot.letter in "WC" for spot in spots):
        raise InvalidFloorPlan(
            f"row {row}: a wheelchair place and its companion seat go side by side"
        )
    return places


def _curved(
    seat: LayoutSeat, depth_index: int, plan: FloorPlan, left: float, right: float
) -> LayoutSeat:
    """The seat in pitches from the front left corner; a curved row's ends are nearer to it."""
    half_width = max((right - left) / 2, 1.0)
    off_centre = (seat.x - left - half_width) / half_width
    y = depth_index * plan.depth + plan.curve * (1.0 - off_centre**2)
    return replace(seat, x=round((seat.x - left) * plan.pitch, 2), y=round(y, 2))
