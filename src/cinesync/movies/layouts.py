"""Floor plans become layouts: every seat with its label, neighbours and place. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from uuid import UUID, uuid5

import msgspec

from cinesync.contracts.movies import Layout, LayoutSeat
from cinesync.movies.demo.floor_plans import FLOOR_PLANS, FloorPlan

SEATS_MAX = 1_000
HALF = "'"
_ZONES = {"f": "front", "s": "standard", "p": "premium", "b": "balcony", "l": "sofa", "v": "vip"}
_KINDS = {"W": "wheelchair", "C": "companion", "v": "recliner", "l": "recliner"}
_NAMESPACE = UUID("5b0c2f52-6b0e-4c39-9f0e-6a4c6f4f7f1d")


class PlanUnclear(ValueError):
    """A drawing with a letter nobody knows, or a place without its companion."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """A letter of a drawing. `at` is in seat widths from the left, `run` counts gaps before it."""

    letter: str
    at: float
    run: int


def layout(plan_name: str, *, mirrored: bool = False) -> Layout:
    """The layout of a plan; a mirrored one serves the room on the other side of the corridor."""
    return drawn(FLOOR_PLANS[plan_name], mirrored=mirrored)


def drawn(plan: FloorPlan, *, mirrored: bool = False) -> Layout:
    """The layout that a plan draws. Its id is of its content: other seats, other id."""
    seats = tuple(_seats(plan, mirrored=mirrored))
    if not 0 < len(seats) <= SEATS_MAX:
        raise PlanUnclear(f"{len(seats)} seats; a room has 1 to {SEATS_MAX}")
    return Layout(layout_id=layout_id(seats), seats=seats)


def layout_id(seats: Sequence[LayoutSeat]) -> UUID:
    """The same seats have the same id everywhere and for ever."""
    return uuid5(_NAMESPACE, msgspec.json.encode(seats).decode())


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
            yield _bent(seat, depth_index, plan, left, right)
        row_index += 1


def _spots(line: str) -> Iterator[_Spot]:
    at, run, in_gap = 0.0, -1, True
    for letter in line:
        if letter in (" ", HALF):
            at += 1.0 if letter == " " else 0.5
            in_gap = True
            continue
        if letter not in _ZONES and letter not in _KINDS:
            raise PlanUnclear(f"{letter!r} is no seat")
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
    """For the number of each companion seat the label of its wheelchair place, its neighbour."""
    places: dict[int, str] = {}
    taken: set[int] = set()
    for number, (one, other) in enumerate(pairwise(spots), 1):
        pair = {one.letter: number, other.letter: number + 1}
        if pair.keys() == {"W", "C"} and one.run == other.run and taken.isdisjoint(pair.values()):
            places[pair["C"]] = f"{row}{pair['W']}"
            taken.update(pair.values())
    if len(taken) != sum(spot.letter in "WC" for spot in spots):
        raise PlanUnclear(f"row {row}: a wheelchair place and its companion seat go side by side")
    return places


def _bent(
    seat: LayoutSeat, depth_index: int, plan: FloorPlan, left: float, right: float
) -> LayoutSeat:
    """In seat pitches from the left corner; the ends of a curved row are nearer to the screen."""
    half_width = max((right - left) / 2, 1.0)
    off_centre = (seat.x - left - half_width) / half_width
    y = depth_index * plan.depth + plan.curve * (1.0 - off_centre**2)
    return replace(seat, x=round((seat.x - left) * plan.pitch, 2), y=round(y, 2))
